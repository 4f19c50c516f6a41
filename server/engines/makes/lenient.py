"""An answer, or an event of one, of any make as the chunk that Portico works with. Pure.

vLLM's are decoded straight into the chunk's shape (openai/chunks.py). Here it is built field by field instead, so that
what is missing, null, of another type or under another name does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from msgspec import UNSET

from server.openai.chunks import (
    AnyChunk,
    ChatLogprobs,
    Choice,
    Chunk,
    CompletionDetails,
    Delta,
    FunctionDelta,
    PromptDetails,
    TextChoice,
    TextChunk,
    TextLogprobs,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from server.openai.reader import EngineAnswerError

Tree = dict[str, Any]
_TOKEN = ("token", "logprob", "bytes")


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer is read as. `id` and `created` (Unix seconds) stand in where it has none."""

    chat: bool
    thoughts: Sequence[str]
    id: str
    created: int


def decode(payload: bytes, shape: Shape) -> AnyChunk:
    """Raises `EngineAnswerError` for an error, and for what is no answer."""
    try:
        tree = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EngineAnswerError("no JSON", payload) from None
    if not isinstance(tree, dict):
        raise EngineAnswerError("no object", payload)
    answer = cast("Tree", tree)
    if answer.get("error") or not isinstance(answer.get("choices"), list):
        raise EngineAnswerError("an error, or no answer", payload)
    choices = [_dict(one) for one in cast("list[object]", answer["choices"])]
    head = (_text(answer.get("id")) or shape.id, _int(answer.get("created")) or shape.created)
    usage, fingerprint = _usage(_dict(answer.get("usage"))), _text(answer.get("system_fingerprint")) or None
    if not shape.chat:
        texts = [_text_choice(at, one) for at, one in enumerate(choices)]
        return TextChunk(head[0], "text_completion", head[1], "", texts, usage or UNSET, fingerprint)
    chats = [_choice(at, one, shape.thoughts) for at, one in enumerate(choices)]
    return Chunk(head[0], "chat.completion.chunk", head[1], "", chats, usage or UNSET, fingerprint)


def _choice(position: int, tree: Tree, thoughts: Sequence[str]) -> Choice:
    delta = _dict(tree.get("delta")) or _dict(tree.get("message"))
    found = (text for name in thoughts if (text := _text(delta.get(name))))
    calls = delta.get("tool_calls")
    return Choice(
        _index(tree, position),
        Delta(
            role="assistant" if delta.get("role") else None,
            content=_content(delta.get("content")),
            reasoning=next(found, None),
            refusal=_text(delta.get("refusal")) or None,
            tool_calls=_calls(cast("list[Any]", calls)) if isinstance(calls, list) else None,
        ),
        _logprobs(_dict(tree.get("logprobs"))) or UNSET,
        _text(tree.get("finish_reason")) or None,
    )


def _text_choice(position: int, tree: Tree) -> TextChoice:
    choice = TextChoice(_index(tree, position), _text(tree.get("text")) or "")
    choice.finish_reason = _text(tree.get("finish_reason")) or None
    logprobs = _dict(tree.get("logprobs"))
    if "tokens" in logprobs:  # others have the shape of chats here, which clients of completions do not know
        try:
            choice.logprobs = msgspec.convert(logprobs, TextLogprobs)
        except msgspec.ValidationError:
            choice.logprobs = None
    return choice


def _calls(trees: list[Any]) -> list[ToolCallDelta] | None:
    calls: list[ToolCallDelta] = []
    for tree in (_dict(one) for one in trees):
        function = _dict(tree.get("function"))
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # Ollama's own API has objects
            arguments = msgspec.json.encode(arguments).decode()
        index = _number(tree.get("index"))
        calls.append(
            ToolCallDelta(
                UNSET if index is None else index,
                _text(tree.get("id")) or None,
                "function",
                FunctionDelta(_text(function.get("name")) or None, _text(arguments)),
            )
        )
    return calls or None


def _logprobs(tree: Tree) -> ChatLogprobs | None:
    content = tree.get("content")
    if not isinstance(content, list):
        return None
    tokens = [_token(_dict(one)) for one in cast("list[Any]", content)]
    return ChatLogprobs([token for token in tokens if token is not None]) if tokens else None


def _token(tree: Tree) -> TokenLogprob | None:
    try:
        token = msgspec.convert({name: tree.get(name) for name in _TOKEN}, TokenLogprob, strict=False)
    except msgspec.ValidationError:
        return None
    top = tree.get("top_logprobs")
    others = [_dict(one) for one in cast("list[Any]", top)] if isinstance(top, list) else []
    token.top_logprobs = [{name: one.get(name) for name in _TOKEN} for one in others]  # and no ids of an engine's own
    return token


def _usage(tree: Tree) -> Usage | None:
    if not tree:
        return None
    cached = _int(_dict(tree.get("prompt_tokens_details")).get("cached_tokens"))
    details = _dict(tree.get("completion_tokens_details")).get("reasoning_tokens")
    reasoning = _int(details) or _int(tree.get("reasoning_tokens"))  # SGLang has it beside the others
    return Usage(
        _int(tree.get("prompt_tokens")),
        _int(tree.get("completion_tokens")),
        prompt_tokens_details=PromptDetails(cached),
        completion_tokens_details=CompletionDetails(reasoning),
    )


def _index(tree: Tree, position: int) -> int:
    index = _number(tree.get("index"))
    return position if index is None else index


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _content(value: object) -> str | None:
    """Text, or parts with text."""
    if isinstance(value, list):
        parts = [_dict(part).get("text") for part in cast("list[object]", value)]
        return "".join(part for part in parts if isinstance(part, str))
    return _text(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _int(value: object) -> int:
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def _dict(value: object) -> Tree:
    return cast("Tree", value) if isinstance(value, dict) else {}
