"""The last chunks of an answer that the gateway ends in the engine's stead."""

from __future__ import annotations

from msgspec import UnsetType

from server.call import Tokens
from server.openai.chunks import (
    AnyChunk,
    Choice,
    Chunk,
    CompletionDetails,
    PromptDetails,
    TextChoice,
    TextChunk,
    Usage,
)
from server.openai.events import ChunkEvent, Event


def last_chunk(like: AnyChunk, index: int, finish_reason: str, usage: UnsetType | None) -> Event:
    """Of a choice; `usage` as on the chunks before."""
    if isinstance(like, Chunk):
        choices = [Choice(index, finish_reason=finish_reason)]
        return ChunkEvent(Chunk(like.id, like.object, like.created, like.model, choices, usage))
    text = [TextChoice(index, finish_reason=finish_reason)]
    return ChunkEvent(TextChunk(like.id, like.object, like.created, like.model, text, usage))


def usage_event(tokens: Tokens, like: AnyChunk, *, estimated: bool = False) -> Event:
    """As an engine sends it after the last choice."""
    usage = Usage(
        tokens.prompt,
        tokens.completion,
        prompt_tokens_details=PromptDetails(tokens.cached),
        completion_tokens_details=CompletionDetails(tokens.reasoning),
        estimated=estimated,
    )
    return ChunkEvent(type(like)(like.id, like.object, like.created, like.model, [], usage))


def is_usage(event: Event) -> bool:
    return isinstance(event, ChunkEvent) and bool(event.chunk.usage) and not event.chunk.choices
