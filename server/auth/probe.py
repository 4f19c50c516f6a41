"""Whether the directory answers, and how many of its keys will expire soon: for the metrics, beside all calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import time

from server.stores.base import Directory, StoreError

EVERY_S = 10.0
SOON_S = 7 * 24 * 3600
log = logging.getLogger("portico")


class DirectoryProbe:
    """One query every `EVERY_S` tells both. `up` and `expiring` hear of each."""

    def __init__(self, directory: Directory, up: Callable[[bool], None], expiring: Callable[[int], None]) -> None:
        self._directory = directory
        self._up = up
        self._expiring = expiring
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="probe the database")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Once. Never raises."""
        now = int(time())
        try:
            keys = await self._directory.expiring_keys(now, now + SOON_S)
        except StoreError:
            self._up(False)
        except Exception:  # a bug must not end the probe
            log.exception("probe the database")
            self._up(False)
        else:
            self._up(True)
            self._expiring(keys)

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)
