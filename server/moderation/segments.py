"""The texts of a request: all that a model reads of it, and what is kept of it, each with its place in the body.

Identifiers that nobody reads (`user`, `safety_identifier`, `prompt_cache_key`) are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from server.moderation.policy import Channel
from server.openai.chat_request import (
    AssistantMessage,
    ChatRequest,
    CompletionRequest,
    FunctionCall,
    JsonSchemaFormat,
    Message,
    RefusalPart,
    TextPart,
    Tool,
)
from server.openai.pooling_request import EmbeddingRequest, RerankRequest

Put = Callable[[str], None]


@dataclass(slots=True)
class Segment:
    """`put` writes another text in its place; None where that would change what the request means."""

    param: str
    channel: Channel
    text: str
    put: Put | None = None
    beside: bool = False
    """A name or a key: it stands beside the texts."""
    alone: bool = False
    """No model reads it together with the others."""
    strings: tuple[tuple[str, bool], ...] = ()
    """Of JSON text: the strings in it, in their order, and whether each is a key."""


def segments_of(body: object) -> list[Segment]:
    """Of a parsed request, in its order. Raises `TypeError` for one that is not known here: nothing passes unseen."""
    if isinstance(body, ChatRequest):
        return [one for one in _chat(body) if one.text]
    if isinstance(body, CompletionRequest):
        return [one for one in _completion(body) if one.text]
    if isinstance(body, EmbeddingRequest):
        return list(_embedding(body))
    if isinstance(body, RerankRequest):
        return list(_rerank(body))
    raise TypeError(f"nobody has said where the texts of a {type(body).__name__} are")


def _chat(body: ChatRequest) -> Iterator[Segment]:
    for index, message in enumerate(body.messages):
        yield from _message(f"messages[{index}]", message)
    for index, tool in enumerate(body.tools or ()):
        yield from _tool(f"tools[{index}].function", tool)
    if isinstance(body.response_format, JsonSchemaFormat):
        of, where = body.response_format.json_schema, "response_format.json_schema"
        yield Segment(f"{where}.name", "content", of.name, beside=True)
        yield Segment(f"{where}.description", "content", of.description or "", _setter(of, "description"))
        yield _schema(f"{where}.schema", of.schema)
    yield from _stop(body)
    for name, value in (body.metadata or {}).items():
        yield Segment("metadata", "content", name, beside=True)
        yield Segment("metadata", "content", value)


def _completion(body: CompletionRequest) -> Iterator[Segment]:
    if isinstance(body.prompt, str):
        yield Segment("prompt", "content", body.prompt, _setter(body, "prompt"))
    else:
        yield from _items("prompt", body.prompt)
    yield from _stop(body)


def _embedding(body: EmbeddingRequest) -> Iterator[Segment]:
    """Token ids are no text; `moderator.py` refuses them where there is something to be looked for."""
    if isinstance(body.input, str):
        yield Segment("input", "content", body.input, _setter(body, "input"))
        return
    for index, one in enumerate(body.input):
        if isinstance(one, str):
            yield Segment(f"input[{index}]", "content", one, _item_setter(body.input, index), alone=True)


def _rerank(body: RerankRequest) -> Iterator[Segment]:
    """The query is read with each document. A score is all that comes of it, so they are looked at one by one."""
    yield Segment("query", "content", body.query, _setter(body, "query"), alone=True)
    for index, one in enumerate(body.documents):
        if isinstance(one, str):
            yield Segment(f"documents[{index}]", "content", one, _item_setter(body.documents, index), alone=True)
        else:
            yield Segment(f"documents[{index}].text", "content", one.text, _setter(one, "text"), alone=True)


def _stop(body: ChatRequest | CompletionRequest) -> Iterator[Segment]:
    for text in [body.stop] if isinstance(body.stop, str) else body.stop or ():
        yield Segment("stop", "content", text)


def _message(where: str, message: Message) -> Iterator[Segment]:
    if message.name:
        yield Segment(f"{where}.name", "content", message.name, beside=True)
    if isinstance(message, AssistantMessage):
        for name in ("reasoning", "reasoning_content"):
            yield Segment(f"{where}.{name}", "reasoning", getattr(message, name) or "", _setter(message, name))
    content = message.content
    if isinstance(content, str):
        yield Segment(f"{where}.content", "content", content, _setter(message, "content"))
    else:
        for index, part in enumerate(content or ()):
            if isinstance(part, TextPart):
                yield Segment(f"{where}.content[{index}].text", "content", part.text, _setter(part, "text"))
            elif isinstance(part, RefusalPart):
                yield Segment(f"{where}.content[{index}].refusal", "content", part.refusal, _setter(part, "refusal"))
    if isinstance(message, AssistantMessage):
        yield Segment(f"{where}.refusal", "content", message.refusal or "", _setter(message, "refusal"))
        for index, call in enumerate(message.tool_calls or ()):
            yield from _call(f"{where}.tool_calls[{index}].function", call.function)


def _call(where: str, function: FunctionCall) -> Iterator[Segment]:
    yield Segment(f"{where}.name", "tool_arguments", function.name)
    yield Segment(f"{where}.arguments", "tool_arguments", function.arguments, _setter(function, "arguments"))


def _tool(where: str, tool: Tool) -> Iterator[Segment]:
    function = tool.function
    yield Segment(f"{where}.name", "content", function.name, beside=True)
    yield Segment(f"{where}.description", "content", function.description or "", _setter(function, "description"))
    yield _schema(f"{where}.parameters", function.parameters)


def _items(where: str, texts: list[str]) -> Iterator[Segment]:
    for index, text in enumerate(texts):
        yield Segment(f"{where}[{index}]", "content", text, _item_setter(texts, index))


def _schema(where: str, value: dict[str, Any] | None) -> Segment:
    """As the model reads it, more or less: with no escapes but those that JSON needs."""
    if value is None:
        return Segment(where, "content", "")
    return Segment(where, "content", msgspec.json.encode(value).decode(), strings=tuple(_strings(value)))


def _strings(value: object) -> Iterator[tuple[str, bool]]:
    if isinstance(value, str):
        yield value, False
    elif isinstance(value, dict):
        for key, inner in cast(dict[str, object], value).items():
            yield key, True
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in cast(list[object], value):
            yield from _strings(inner)


def _setter(owner: object, name: str) -> Put:
    return lambda text: setattr(owner, name, text)


def _item_setter(texts: list[Any], index: int) -> Put:
    def put(text: str) -> None:
        texts[index] = text

    return put
