"""The wire of a chat completion that is a verdict: one whole answer, of one choice, with content and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec

from server.moderation.judges.neutral import neutralised
from server.moderation.judges.verdicts import MalformedAnswer


class _Message(msgspec.Struct):
    role: str
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


_DECODER = msgspec.json.Decoder(_Answer)


def content_of(answer: bytes) -> str:
    """The content of a complete answer. Raises `MalformedAnswer` for anything else, however near it comes."""
    try:
        choices = _DECODER.decode(answer).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedAnswer("not a chat completion") from None
    if len(choices) != 1:
        raise MalformedAnswer("not one choice")
    message = choices[0].message
    if choices[0].finish_reason != "stop":
        raise MalformedAnswer("not finished")
    if message.role != "assistant" or message.tool_calls or message.function_call or message.refusal:
        raise MalformedAnswer("not an answer")
    if not message.content:
        raise MalformedAnswer("no content")
    return message.content


def messages(text: str, role: str) -> list[dict[str, str]]:
    """`text` as the last message. What an assistant says comes after a user, who is not quoted here."""
    last = {"role": role, "content": text}
    return [last] if role == "user" else [{"role": "user", "content": ""}, last]


def question(model: str, text: str, role: str, max_tokens: int) -> bytes:
    """For a model whose chat template holds the policy: the text as the last message, control tokens broken."""
    body = {
        "model": model,
        "messages": messages(neutralised(text), role),
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    return msgspec.json.encode(body)
