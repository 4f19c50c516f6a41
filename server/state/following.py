"""The stream of a background response as anybody reads it who has its id: from the store, on every worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

from server.openai.events import KEEP_ALIVE
from server.responses.stream import frame_of
from server.stores.responses import OPEN, ResponseRecord

POLL_S = 0.25
SILENCE_S = 10.0  # between two comments that keep the connection
LONGEST_S = 24 * 3600.0
LAST = ("completed", "incomplete", "failed")
_LAST_EVENTS = tuple(f'{{"type":"response.{one}"'.encode() for one in LAST)


class Events(Protocol):
    """See stores/responses.py."""

    async def response(self, project_id: str, response_id: str) -> ResponseRecord: ...

    async def events(self, project_id: str, response_id: str, *, after: int = -1, limit: int = 1000) -> list[bytes]: ...


async def followed(store: Events, project_id: str, response_id: str, after: int = -1) -> AsyncGenerator[bytes]:
    """Events with numbers above `after`, several at once, until the response has ended. Raises `StoreError`."""
    silent, until = 0.0, asyncio.get_running_loop().time() + LONGEST_S
    while asyncio.get_running_loop().time() < until:
        record = await store.response(project_id, response_id)  # before its events: none is missed
        events = await store.events(project_id, response_id, after=after)
        after += len(events)
        if events:
            silent = 0.0
            yield b"".join(map(frame_of, events))
            if events[-1].startswith(_LAST_EVENTS):
                return
        elif record.status not in OPEN:
            seen = await store.events(project_id, response_id, after=after - 1, limit=1) if after >= 0 else []
            if record.status in LAST and not (seen and seen[0].startswith(_LAST_EVENTS)):
                yield _told(record, after + 1)
            return
        else:
            await asyncio.sleep(POLL_S)
            silent += POLL_S
            if silent >= SILENCE_S:
                silent = 0.0
                yield KEEP_ALIVE


def _told(record: ResponseRecord, number: int) -> bytes:
    """The end of one whose process died before it had told it."""
    told = b'{"type":"response.%b","sequence_number":%d,"response":%b}'
    return frame_of(told % (record.status.encode(), number, record.body))
