"""The fields of an answer that leave Portico. Decoding drops whatever else an engine adds.

A unary answer is decoded into the same `Chunk` as a streamed one (its `message` becomes the `delta`), so that what
is done to answers is written once. `collect.py` goes the other way.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, field


class FunctionDelta(Struct, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Struct, omit_defaults=True):
    index: int | UnsetType = UNSET
    id: str | None = None
    type: str | None = None
    function: FunctionDelta | None = None


class Delta(Struct, omit_defaults=True):
    role: str | None = None
    content: str | UnsetType | None = UNSET
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class TokenLogprob(Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[Any] = field(default_factory=list[Any])


class ChatLogprobs(Struct):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Choice(Struct, omit_defaults=True):
    index: int
    delta: Delta = field(default_factory=Delta)
    logprobs: ChatLogprobs | UnsetType | None = UNSET
    finish_reason: str | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if self.finish_reason is UNSET:
            self.finish_reason = None  # OpenAI always sends the key

    def has_news(self) -> bool:
        """Whether a client learns anything from it."""
        delta = self.delta
        return bool(
            self.finish_reason
            or delta.role
            or delta.content
            or delta.reasoning
            or delta.refusal
            or delta.tool_calls
            or self.logprobs
        )


class PromptDetails(Struct, omit_defaults=True):
    cached_tokens: int | None = None


class CompletionDetails(Struct, omit_defaults=True):
    reasoning_tokens: int | None = None


class Usage(Struct, omit_defaults=True):
    """Tokens of one call. `total_tokens` is the sum of the other two."""

    prompt_tokens: int
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    estimated: bool = False  # by the gateway, where the engine does not count; no engine sends it

    def __post_init__(self) -> None:
        self.completion_tokens = self.completion_tokens or 0
        self.total_tokens = self.prompt_tokens + self.completion_tokens


class Chunk(Struct, omit_defaults=True):
    """One event of a chat stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | UnsetType | None = UNSET
    system_fingerprint: str | None = None


class ModeratedChunk(Chunk, omit_defaults=True):
    """What inline moderation found: of an own chunk, as no engine sends it."""

    moderation: dict[str, Any] | None = None


class TextLogprobs(Struct, omit_defaults=True):
    text_offset: list[int] | None = None
    token_logprobs: list[float | None] | None = None
    tokens: list[str] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class TextChoice(Struct):
    index: int
    text: str = ""
    logprobs: TextLogprobs | None = None
    finish_reason: str | None = None


class TextChunk(Struct, omit_defaults=True):
    """One event of a completions stream, and the whole of a unary completion."""

    id: str
    object: str
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | UnsetType | None = UNSET
    system_fingerprint: str | None = None


AnyChunk = Chunk | TextChunk


class MessageChoice(Struct):
    """A choice of a unary chat completion, as engines send it."""

    index: int
    message: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class Completion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[MessageChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None


COMPLETION = msgspec.json.Decoder(Completion)
CHUNK = msgspec.json.Decoder(Chunk)
TEXT_CHUNK = msgspec.json.Decoder(TextChunk)
ENCODER = msgspec.json.Encoder()


def chunk_of(completion: Completion) -> Chunk:
    """A unary chat completion as one chunk."""
    choices = [
        Choice(
            choice.index,
            choice.message,
            choice.logprobs if choice.logprobs is not None else UNSET,
            choice.finish_reason,
        )
        for choice in completion.choices
    ]
    return Chunk(
        completion.id,
        "chat.completion.chunk",
        completion.created,
        completion.model,
        choices,
        completion.usage,
        completion.system_fingerprint,
    )
