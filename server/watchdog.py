"""One clock for every deadline of a worker.

A timer per wait would be paid by every request and every chunk. Here whatever has a deadline registers once and is
asked a few times a second; a deadline is thus kept to within `INTERVAL_S`.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import Protocol

INTERVAL_S = 0.2
log = logging.getLogger("portico")


class Ticking(Protocol):
    def tick(self, now: float) -> None:
        """Act on what is due at `now` (`perf_counter` seconds). Must not block or raise."""
        ...


class Watchdog:
    def __init__(self) -> None:
        self._watched: set[Ticking] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, one: Ticking) -> None:
        self._watched.add(one)

    def discard(self, one: Ticking) -> None:
        self._watched.discard(one)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="watchdog")

    async def stop(self) -> None:
        """After a last round."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self.sweep(perf_counter())

    def sweep(self, now: float) -> None:
        for one in tuple(self._watched):
            try:
                one.tick(now)
            except Exception:  # one broken watcher must not end every other's deadlines
                log.exception("watchdog")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.sweep(perf_counter())
