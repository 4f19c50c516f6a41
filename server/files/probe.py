"""Whether the bucket of the files can be used: for the metrics and the log, beside all calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from server.stores.base import StoreError

EVERY_S = 60.0
log = logging.getLogger("portico")


class BucketProbe:
    """`probe` raises `StoreError` where it cannot; `up` hears each time. `start` and `stop` are awaited by the app."""

    def __init__(self, probe: Callable[[], Awaitable[None]], up: Callable[[bool], None]) -> None:
        self._probe = probe
        self._up = up
        self._was_up = True
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="probe the bucket of the files")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Once. Never raises."""
        up = False
        try:
            await self._probe()
            up = True
        except StoreError as error:
            if self._was_up:
                log.error("files cannot be kept, nor batches run: %s", error)
        except Exception:  # a bug must not end the probe
            log.exception("probe the bucket of the files")
        if up and not self._was_up:
            log.warning("the bucket of the files can be used again")
        self._was_up = up
        self._up(up)

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)
