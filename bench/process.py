"""Child processes of a benchmark: each leads a session of its own, logs to a file and ends with the benchmark."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import cpu

_PR_SET_PDEATHSIG = 1


class StartError(Exception):
    """A process cannot be started or does not get ready; the text is one line for a person."""


def free_ports(count: int) -> list[int]:
    """Free loopback ports, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """A running program. `log` gets its standard output and error; `env` adds variables, None removes one."""

    def __init__(self, command: Sequence[str | Path], log: Path, env: Mapping[str, str | None] | None = None) -> None:
        self.log = log
        merged: dict[str, str | None] = {**os.environ, **(env or {})}
        with log.open("wb") as out:
            try:
                self._child = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    cwd=log.parent,
                    env={name: value for name, value in merged.items() if value is not None},
                    start_new_session=True,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - no threads are running here
                )
            except OSError as error:
                raise StartError(f"{command[0]}: {error.strerror}") from None
        self.pid = self._child.pid

    def check(self) -> None:
        """Raise StartError when it has ended."""
        code = self._child.poll()
        if code is not None:
            raise StartError(f"ended with status {code}: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of the log that says something."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "it said nothing")

    def stop(self, grace_s: float = 10) -> None:
        """Ask it to end, then end its whole tree."""
        if self._child.poll() is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(grace_s)
        if not self._ended(within_s=1):
            for pid in cpu.tree(self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._ended(within_s=5)
        self._child.wait()

    def _ended(self, within_s: float) -> bool:
        """Whether the whole tree is gone, now or soon."""
        deadline = time.monotonic() + within_s
        while cpu.tree(self.pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True
