"""The hold on a batch: kept by a beat that tells how far it is and hears what its client and its key want."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from server.batches.tools import Tools
from server.call import Key
from server.errors import InvalidApiKey, StoreUnavailable
from server.stores.base import NotAllowed, StoreDown
from server.stores.batches import BatchRecord, Change, LineError

log = logging.getLogger("portico")


class Lost(Exception):
    """The batch may have another owner by now."""


class Hold:
    """`record` is the batch as it was last seen. `fault`: its key may do no more."""

    def __init__(self, tools: Tools, record: BatchRecord, owner: str) -> None:
        self.record = record
        self.key: Key
        self.fault: LineError | None = None
        self._tools = tools
        self._owner = owner
        self._until = monotonic() + tools.pace.lease
        self._checked = monotonic()
        self._released = False

    async def look_at_key(self) -> None:
        """From here on `key` is what the key of the batch may do. Raises `InvalidApiKey`, `StoreUnavailable`."""
        self.key = await self._tools.owner(self.record.key_id)

    async def change(self, change: Change, *, release: bool = False) -> BatchRecord:
        """Asks for as long as the batch is held. Raises `Lost`, `StoreDown`."""
        self._released = self._released or release
        while True:
            try:
                return await self._change(change, 0 if release else self._tools.pace.lease)
            except StoreDown as error:
                if monotonic() + self._tools.pace.beat >= self._until:
                    raise
                log.warning("batch %s: how far it is cannot be noted: %s", self.record.id, error)
            await asyncio.sleep(self._tools.pace.beat)

    async def beat(self, change: Change, heard: Callable[[], None]) -> None:
        """Until cancelled: `change` is kept every time, `heard` is called after it. Raises `Lost`."""
        pace = self._tools.pace
        while True:
            await asyncio.sleep(pace.beat)
            if self._released:
                return
            try:
                # A commit that comes late must not be taken for a longer hold than the store believes in.
                async with asyncio.timeout(max(0.01, self._until - monotonic())):
                    await self.change(change)
            except (TimeoutError, StoreDown, Lost):
                if self._released:
                    return
                raise Lost from None
            if monotonic() - self._checked >= pace.check:
                self._checked = monotonic()
                await self._look_again()
            heard()

    async def _change(self, change: Change, for_s: float) -> BatchRecord:
        asked = monotonic()
        try:
            self.record = await self._tools.store.keep_batch(self.record.id, self._owner, for_s, change)
        except NotAllowed:
            raise Lost from None
        self._until = asked + for_s
        return self.record

    async def _look_again(self) -> None:
        try:
            await self.look_at_key()
        except InvalidApiKey as error:
            self.fault = LineError(error.code or "invalid_api_key", error.message)
        except StoreUnavailable:
            pass  # a known key goes on, as it does for clients
