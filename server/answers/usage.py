"""Usage is always asked of the engine; this stage shows it to those clients that asked for it."""

from __future__ import annotations

from msgspec import UNSET

from server.answers.stage import Stage
from server.call import Call
from server.openai.chunks import Chunk
from server.openai.events import Batch, Event, TextEvent


class UsageFilter:
    """Usage on the last chunk or nowhere."""

    ended = False

    def __init__(self, *, asked: bool) -> None:
        self._asked = asked

    def feed(self, batch: Batch) -> Batch:
        for event in batch:
            if not isinstance(event, TextEvent) and event.chunk.usage:
                return [event for event in batch if _keep(event, self._asked)]
        return batch


def usage_as_asked(call: Call) -> Stage | None:
    """The stage, for streams: an answer in one piece always has its usage."""
    return UsageFilter(asked=call.include_usage) if call.stream else None


def _keep(event: Event, asked: bool) -> bool:
    if isinstance(event, TextEvent) or not event.chunk.usage:
        return True
    if not event.chunk.choices:
        return asked
    event.chunk.usage = None if asked else UNSET  # usage so far, on a chunk of text
    return not isinstance(event.chunk, Chunk) or any(choice.has_news() for choice in event.chunk.choices)
