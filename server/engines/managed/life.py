"""One life of the engine: from the start of its guard to the end of its last process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from server.engines.managed.state import process_began

GUARD = Path(__file__).with_name("guard.py")
LOG_MODE = 0o600  # vLLM can quote prompts in an error
GRACE_S = 5.0  # vLLM ends in about a second; one that does not is killed


class Life:
    """A started guard. `ended` is set when nothing of the engine is left; `status` is then vLLM's exit status."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: int) -> None:
        self._process = process
        self._pipe: int | None = pipe
        self.engine_pid: int | None = None
        self.status: int | None = None
        self.ended = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def begin(cls, command: Sequence[str], environ: dict[str, str], log: Path, grace_s: float = GRACE_S) -> Life:
        """Start `command` under a guard. The guard ends the engine as soon as this process is gone."""
        ours_read, ours_write = os.pipe()
        try:
            with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, LOG_MODE), "ab") as output:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", str(GUARD), str(grace_s), *command,
                    stdin=ours_read, stdout=asyncio.subprocess.PIPE, stderr=output, env=environ,
                    cwd=log.parent, start_new_session=True,  # Ctrl-C reaches Portico, which then stops in order
                )  # fmt: skip
        except BaseException:
            os.close(ours_write)
            raise
        finally:
            os.close(ours_read)
        return cls(process, ours_write)

    async def end(self, within_s: float, *, now: bool = False) -> None:
        """Ask the guard to end the engine, `now` without a grace time; returns when it has, or raises TimeoutError."""
        if now and self._pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._pipe, b"!")
        self._let_go()
        async with asyncio.timeout(within_s):
            await self.ended.wait()

    def _let_go(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    async def _read(self) -> None:
        try:
            stream = self._process.stdout
            while stream is not None and (line := await stream.readline()):
                word, _, number = line.decode(errors="replace").strip().partition(" ")
                if word == "started":
                    self.engine_pid = int(number)
                elif word == "exited":
                    self.status = int(number) if number.lstrip("-").isdigit() else None
            await self._process.wait()
            await self._outlive()
        finally:
            self._let_go()
            self.ended.set()

    async def _outlive(self) -> None:
        """Where the guard was killed, its watchman ends the engine: wait for the API server to be gone."""
        if self.status is not None or self.engine_pid is None:
            return
        self.status = -9  # the kernel's doing, when the guard went
        for _ in range(100):
            if not process_began(self.engine_pid):
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)  # the watchman is at the engine's other processes
