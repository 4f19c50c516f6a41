"""The body of an answer that is not streamed."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from server.openai.chunks import ChatLogprobs, TextChoice, Usage


class Message(Struct, omit_defaults=True):
    role: str
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class MessageChoice(Struct):
    index: int
    message: Message
    logprobs: ChatLogprobs | None
    finish_reason: str | None


class Answer(Struct, omit_defaults=True):
    id: str
    object: str
    created: int
    model: str
    choices: list[MessageChoice] | list[TextChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    moderation: dict[str, Any] | None = None
