"""Whether the directory answers, and how many of its keys will expire soon: for the metrics, beside all calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time

from server.duty import Repeated
from server.stores.base import Directory, StoreError

EVERY_S = 10.0
SOON_S = 7 * 24 * 3600
log = logging.getLogger("portico")


class DirectoryProbe(Repeated):
    """One query every `EVERY_S` tells both. `up` and `expiring` hear of each."""

    def __init__(self, directory: Directory, up: Callable[[bool], None], expiring: Callable[[int], None]) -> None:
        super().__init__("probe the database", EVERY_S)
        self._directory = directory
        self._up = up
        self._expiring = expiring

    async def look(self) -> None:
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
