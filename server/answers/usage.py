"""Usage is always asked of the engine; this stage shows it to those clients that asked for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from server.call import Call
from server.openai.chunks import Chunk
from server.openai.events import Batch, Event, TextEvent


def usage_as_asked(call: Call, batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    """The stage, for streams: usage on the last chunk or nowhere."""
    return _filter(call, batches) if call.stream else batches


async def _filter(call: Call, batches: AsyncIterator[Batch]) -> AsyncIterator[Batch]:
    async for batch in batches:
        yield batch if all(map(_plain, batch)) else [event for event in batch if _keep(event, call.include_usage)]


def _plain(event: Event) -> bool:
    return isinstance(event, TextEvent) or event.chunk.usage is None


def _keep(event: Event, asked: bool) -> bool:
    if _plain(event) or isinstance(event, TextEvent):
        return True
    if not event.chunk.choices:
        return asked
    event.chunk.usage = None  # usage so far, on a chunk of text
    return not isinstance(event.chunk, Chunk) or any(choice.has_news() for choice in event.chunk.choices)
