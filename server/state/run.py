"""One response that runs in the background, as its store sees it: opened, told about in batches, ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import msgspec
from msgspec.structs import replace

from server.stores.base import NotThere, StoreError
from server.stores.responses import Item, ResponseRecord, ResponseStore, Status

BATCH_S = 0.25  # events of so long are written together
AGAIN_S = 1.0  # after a write that failed
LAST_TRY_S = 10.0  # how long the end of a response is tried to be written; later its lease ends it
MOST_BYTES = 8 * 1024 * 1024  # of events that wait to be written
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.encode
log = logging.getLogger("portico")


class Run:
    """`record` is that of the response when it is queued. `add`, `end` and `over` are told by its answer.

    `stop` is called when it is to go no further: cancelled, deleted, or with too much that cannot be written.
    """

    def __init__(
        self,
        store: ResponseStore,
        record: ResponseRecord,
        input: Sequence[Item],
        stop: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self.record = record
        self.stop = stop
        self._store = store
        self._input = input
        self._lost = lost
        self._events: list[bytes] = []
        self._written = 0  # events
        self._bytes = 0
        self._begun = False
        self._ended: tuple[ResponseRecord, Sequence[Item]] | None = None
        self._over = False
        self._wake = asyncio.Event()

    @property
    def waits(self) -> bool:
        """More is waiting to be written than should."""
        return self._bytes > MOST_BYTES

    def add(self, events: Sequence[bytes]) -> None:
        """Some more of its stream."""
        self._begun = True
        self._events += events
        self._bytes += sum(map(len, events))
        self._wake.set()

    def end(self, status: Status, body: bytes, output: Sequence[Item]) -> None:
        self._ended = replace(self.record, status=status, body=body), output
        self._wake.set()

    def over(self) -> None:
        """It is somebody else's, or nobody's any more: nothing more of it is written."""
        self._over = True
        self._wake.set()

    async def open(self, owner: str, lease_s: float) -> None:
        """Raises `StoreError`."""
        await self._store.open_response(self.record, self._input, owner, lease_s)

    async def write(self) -> None:
        """Until all of it is written. One try after the other, as what is written later must not come before."""
        progress, deadline = False, None
        while not self._over:
            await self._wake.wait()
            await asyncio.sleep(BATCH_S)
            self._wake.clear()
            try:
                if self._begun and not progress:
                    await self._in_progress()
                    progress = True
                await self._write_events()
                if self._ended is not None:
                    await self._store.finish_response(*self._ended)
                    return
            except NotThere:
                self.stop()
                return
            except (StoreError, TimeoutError) as error:
                if self._ended is not None:
                    deadline = deadline or perf_counter() + LAST_TRY_S
                    if perf_counter() > deadline:
                        self._lost()
                        log.error("a response that ran in the background was not stored: %s", error)
                        return
                await asyncio.sleep(AGAIN_S)
                self._wake.set()

    async def _in_progress(self) -> None:
        record = self.record
        kept = await self._store.change_response(record.project_id, record.id, in_progress)
        if kept.status == "cancelled":
            self.stop()

    async def _write_events(self) -> None:
        events = self._events
        if not events:
            return
        number = len(events)
        await self._store.add_events(self.record.id, self._written, events[:number])
        self._written += number
        self._bytes -= sum(map(len, events[:number]))
        self._events = events[number:]


def in_progress(record: ResponseRecord) -> ResponseRecord:
    return with_status(record, "in_progress")


def with_status(record: ResponseRecord, status: Status, **facts: Any) -> ResponseRecord:
    """The record with that status, which its body tells too, with `facts`."""
    body = _encode({**_OBJECT.decode(record.body), "status": status, **facts})
    return replace(record, status=status, body=body)
