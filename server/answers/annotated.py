"""What inline moderation found, told with the answer: behind its last choice, and before the usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from server.answers.stage import Stage
from server.call import Call
from server.openai.chat_request import choices_of
from server.openai.chunks import Chunk, ModeratedChunk
from server.openai.events import Batch, ChunkEvent, TextEvent


class Annotated:
    """`results` are asked for once, when all choices have ended: all of them has been looked at then."""

    ended = False

    def __init__(self, call: Call, results: Callable[[], dict[str, Any]]) -> None:
        self._results = results
        self._usage = None if call.include_usage else UNSET
        self._open = choices_of(call.body)

    def feed(self, batch: Batch) -> Batch:
        for at, event in enumerate(batch):
            if isinstance(event, TextEvent) or self._open <= 0:
                continue
            self._open -= sum(choice.finish_reason is not None for choice in event.chunk.choices)
            if self._open <= 0 and isinstance(event.chunk, Chunk):
                return [*batch[: at + 1], self._told(event.chunk), *batch[at + 1 :]]
        return batch

    def _told(self, like: Chunk) -> ChunkEvent:
        kind = "chat.completion.chunk"
        chunk = ModeratedChunk(like.id, kind, like.created, like.model, [], self._usage, moderation=self._results())
        return ChunkEvent(chunk)


def annotated(call: Call) -> Stage | None:
    """The stage, for calls that ask for inline moderation. It comes when nothing changes the answer any more."""
    check = call.check
    return None if check is None or check.results is None else Annotated(call, check.results)
