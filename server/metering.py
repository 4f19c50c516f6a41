"""Counts what the engine produced, nearest to the engine: before any stage changes or drops an event."""

from __future__ import annotations

from time import perf_counter

from server.call import Call, Tokens
from server.openai.chunks import AnyChunk, Chunk, Usage
from server.openai.events import Batch, TextEvent
from server.telemetry.metrics import Metrics


class Meter:
    """Notes a call's first token, how many came, the gaps between them, and the usage. Feed it every batch."""

    def __init__(self, call: Call, metrics: Metrics) -> None:
        self._call = call
        self._gaps = metrics.models[call.model.id].token_gap if call.stream else None

    def feed(self, batch: Batch) -> None:
        call = self._call
        deltas = 0
        for event in batch:
            if isinstance(event, TextEvent):
                deltas += 1
            else:
                chunk = event.chunk
                deltas += bool(_has_text(chunk))
                if chunk.usage:
                    call.tokens = tokens_of(chunk.usage)
        if not deltas:
            return
        call.streamed += deltas
        now = perf_counter()
        if call.last_token is None:
            call.first_token = now
        elif self._gaps is not None:
            self._gaps.observe((now - call.last_token) / deltas, deltas)
        call.last_token = now


def tokens_of(usage: Usage) -> Tokens:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Tokens(
        usage.prompt_tokens,
        usage.completion_tokens or 0,
        (prompt.cached_tokens or 0) if prompt else 0,
        (completion.reasoning_tokens or 0) if completion else 0,
    )


def _has_text(chunk: AnyChunk) -> bool:
    if not isinstance(chunk, Chunk):
        return any(choice.text for choice in chunk.choices)
    for choice in chunk.choices:
        delta = choice.delta
        if delta.content or delta.reasoning or delta.tool_calls:
            return True
    return False
