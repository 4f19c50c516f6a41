"""A server of the tests' own: a process with a log, started until it answers, and killed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


class Program:
    """`start` and `stop` as often as one likes. A subclass says what is run and when it answers."""

    name: str
    ready_s = 30.0

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log)
        until = time.monotonic() + self.ready_s
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"{self.name} did not start: {self._log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(self.ready_s)
            self._process = None

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError
