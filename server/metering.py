"""Counts what the engine produced, nearest to the engine: before any stage changes or drops an event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import perf_counter

from server.call import Call, Tokens
from server.openai.chunks import AnyChunk, Chunk, Usage
from server.openai.events import Batch, TextEvent
from server.telemetry.metrics import Metrics


async def meter(call: Call, batches: AsyncIterator[Batch], metrics: Metrics) -> AsyncIterator[Batch]:
    """Note the first token, the gaps between tokens and the usage."""
    gaps = metrics.model(call.model.id).token_gap if call.stream else None
    async for batch in batches:
        deltas = 0
        for event in batch:
            if isinstance(event, TextEvent):
                deltas += 1
            else:
                chunk = event.chunk
                deltas += bool(_has_text(chunk))
                if chunk.usage is not None:
                    call.tokens = tokens_of(chunk.usage)
        if deltas:
            call.deltas += deltas
            now = perf_counter()
            if call.last_token is None:
                call.first_token = now
            elif gaps is not None:
                gaps.observe((now - call.last_token) / deltas, deltas)
            call.last_token = now
        yield batch


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
    return any(c.delta.content or c.delta.reasoning or c.delta.tool_calls for c in chunk.choices)
