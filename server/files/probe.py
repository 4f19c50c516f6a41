"""Whether the bucket of the files can be used: for the metrics and the log, beside all calls."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from server.duty import Repeated
from server.stores.base import StoreError

EVERY_S = 60.0
log = logging.getLogger("portico")


class BucketProbe(Repeated):
    """`probe` raises `StoreError` where it cannot; `up` hears each time."""

    def __init__(self, probe: Callable[[], Awaitable[None]], up: Callable[[bool], None]) -> None:
        super().__init__("probe the bucket of the files", EVERY_S)
        self._probe = probe
        self._up = up
        self._was_up = True

    async def look(self) -> None:
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
