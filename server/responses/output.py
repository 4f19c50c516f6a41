"""From the events of a chat completion to the output of a response: a list of items, one after the other. Pure.

The channels of an answer become items as they come: reasoning a `reasoning` item, content a `message`, each call a
`function_call` or, of a custom tool, a `custom_tool_call`. Where a conversation is compacted, the content becomes a
`compaction`, and how the model came to it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from server.call import Call
from server.errors import ContentFiltered, EngineFailure
from server.openai.chunks import ChatLogprobs, Chunk, Delta, ModeratedChunk, ToolCallDelta
from server.openai.events import Event, TextEvent
from server.responses.compaction import retained
from server.responses.request import ResponsesRequest
from server.responses.response import CUT, Status, moderation_of, response_of, usage_of
from server.responses.seal import Sealer
from server.responses.summary import excerpt
from server.responses.tools import Named
from server.responses.translate import Asked

Kind = Literal["reasoning", "output_text", "refusal", "function_call", "custom_tool_call", "compaction"]
ItemStatus = Literal["completed", "incomplete"]
PREFIXES: Mapping[Kind, str] = {
    "reasoning": "rs",
    "output_text": "msg",
    "refusal": "msg",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "compaction": "cmp",
}
CHANNELS: Mapping[Kind, str] = {"reasoning": "reasoning", "output_text": "content", "compaction": "content"}
_encode = msgspec.json.encode
_STRING = msgspec.json.Decoder(str)
_INPUT = msgspec.json.Decoder(dict[str, str])


@dataclass(slots=True)
class Open:
    """The item that is being written. `text` is JSON-escaped UTF-8, in pieces."""

    kind: Kind
    index: int
    item: dict[str, Any]
    channel: str | None  # of the chat's events that it goes on with
    number: int | None = None  # of the call
    text: list[bytes] = field(default_factory=list[bytes])
    logprobs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def plain(self) -> str:
        return _STRING.decode(b'"' + b"".join(self.text) + b'"')


class Output:
    """Feed it every event. What is made of the items as they come is for `_added`, `_said` and `_ended` to say.

    `items` are those that have ended, as the client sees them; `kept` as later turns are to see them.
    """

    def __init__(self, call: Call, asked: Asked, sealer: Sealer) -> None:
        self.items: list[dict[str, Any]] = []
        self.kept: list[dict[str, Any]] = []
        self.came = False
        self._call = call
        self._asked = asked
        self._sealer = sealer
        self._open: Open | None = None
        self._finish: str | None = None
        self._moderation: dict[str, Any] | None = None
        self._shown = call.reasoning_shown
        self._said_as: Kind = "compaction" if asked.compacts else "output_text"
        self._stem = call.id.removeprefix("req_")

    def feed(self, event: Event) -> None:
        self.came = True
        if isinstance(event, TextEvent):
            self._text("reasoning" if event.template.channel == "reasoning" else self._said_as, event.text)
            return
        chunk = event.chunk
        if isinstance(chunk, ModeratedChunk) and chunk.moderation is not None:
            self._moderation = moderation_of(chunk.moderation)
        if not isinstance(chunk, Chunk):
            return
        for choice in chunk.choices:
            self._delta(choice.delta, choice.logprobs or None)
            if isinstance(choice.finish_reason, str):
                self._finish = choice.finish_reason

    def ended(self, now: float) -> tuple[Status, dict[str, Any]]:
        """The finished Response object, and its status. `now` in Unix seconds."""
        reason = CUT.get(self._finish or "stop")
        self._close("completed" if reason is None else "incomplete")
        status: Status = "completed" if reason is None else "incomplete"
        facts = {
            "incomplete_details": None if reason is None else {"reason": reason},
            "completed_at": int(now) if reason is None else None,
        }
        return status, self._response(status, facts)

    def _response(self, status: Status, facts: Mapping[str, Any]) -> dict[str, Any]:
        told = {"usage": usage_of(self._call.used()), **facts}
        if self._moderation is not None:
            told["moderation"] = self._moderation
        return response_of(self._call, self._asked, status, self.items, **told)

    def _delta(self, delta: Delta, logprobs: ChatLogprobs | None) -> None:
        if delta.reasoning:
            self._text("reasoning", _encode(delta.reasoning)[1:-1])
        if delta.content or logprobs:
            told = _logprobs(logprobs)
            self._text(self._said_as, _encode(delta.content or "")[1:-1], told)
        if delta.refusal:
            self._text("refusal", _encode(delta.refusal)[1:-1])
        for call in delta.tool_calls or ():
            self._called(call)

    def _text(self, kind: Kind, escaped: bytes, logprobs: list[dict[str, Any]] | None = None) -> None:
        one = self._open
        if kind == "reasoning" and self._asked.compacts:
            return
        if one is None or one.kind != kind:
            one = self._begin(kind, _empty(kind))
        one.text.append(escaped)
        if logprobs:
            one.logprobs += logprobs
        self._said(one, escaped, logprobs)

    def _called(self, call: ToolCallDelta) -> None:
        function, one = call.function, self._open
        number = call.index if isinstance(call.index, int) else None
        if one is None or one.number is None or call.id or (number is not None and number != one.number):
            name = function.name if function is not None and function.name else ""
            named = self._asked.tools.names.get(name) or Named("function", name)
            kind: Kind = "custom_tool_call" if named.kind == "custom" else "function_call"
            one = self._begin(kind, _called_item(kind, call.id or f"call_{self._stem}{number or 0}", named))
            one.number = 0 if number is None else number
        if function is not None and function.arguments:
            escaped = _encode(function.arguments)[1:-1]
            one.text.append(escaped)
            self._said(one, escaped, None)

    def _begin(self, kind: Kind, item: dict[str, Any]) -> Open:
        self._close("completed")
        index = len(self.items)
        self._open = one = Open(
            kind, index, {"id": f"{PREFIXES[kind]}_{self._stem}{index:04x}", **item}, CHANNELS.get(kind)
        )
        self._added(one)
        return one

    def _close(self, status: ItemStatus) -> None:
        one, self._open = self._open, None
        if one is None:
            return
        text = one.plain()
        shown = kept = {**one.item, "status": status}
        if one.kind == "compaction":
            sealed = self._sealer.seal_summary(self._call.key.project.id, text)
            shown = kept = {**one.item, "encrypted_content": sealed}
        elif one.kind == "reasoning":
            shown, kept = self._reasoning(one, shown, text)
        elif one.kind == "function_call":
            shown["arguments"] = text
        elif one.kind == "custom_tool_call":
            shown["input"] = text = _input_of(text)
        elif one.kind == "refusal":
            shown["content"] = [{"type": "refusal", "refusal": text}]
        else:
            part = {"type": "output_text", "text": text, "annotations": [], "logprobs": one.logprobs}
            shown["content"] = [part]
        self.items.append(shown)
        self.kept.append(kept)
        self._ended(one, shown, text)

    def _reasoning(self, one: Open, item: dict[str, Any], text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is shown may be read; what is kept, and what the client is to hand back, holds all of it."""
        request, project = self._asked.request, self._call.key.project.id
        seals = isinstance(request, ResponsesRequest) and request.seals
        stored = isinstance(request, ResponsesRequest) and request.stored
        sealed = self._sealer.seal(project, text) if seals or stored else None
        token = sealed if seals else None
        if self._shown:
            summary = excerpt(text, _summary(self._asked))
            item["summary"] = [] if summary is None else [{"type": "summary_text", "text": summary}]
            item["content"] = [{"type": "reasoning_text", "text": text}]
            token = token or self._sealer.vouch(project, text)
        return {**item, "encrypted_content": token}, {**item, "encrypted_content": sealed}

    # What becomes of it

    def _added(self, one: Open) -> None:
        """An item begins."""

    def _said(self, one: Open, escaped: bytes, logprobs: list[dict[str, Any]] | None) -> None:
        """Some of its text."""

    def _ended(self, one: Open, item: dict[str, Any], text: str) -> None:
        """It is complete, as the client sees it."""


class ResponseCollector(Output):
    """Feed it every event; `body` is the answer, and `status` from then on how it ended. `clock`: Unix seconds."""

    def __init__(self, call: Call, asked: Asked, sealer: Sealer, clock: Callable[[], float]) -> None:
        super().__init__(call, asked, sealer)
        self.status: Status = "in_progress"
        self._clock = clock

    def body(self) -> bytes | None:
        """None if nothing came."""
        if not self.came:
            return None
        self.status, told = self.ended(self._clock())
        return _encode(told)


class CompactionCollector(ResponseCollector):
    """The same for POST /v1/responses/compact: what users said, and the item that stands for the rest."""

    def body(self) -> bytes | None:
        """Raises `ContentFiltered`, `EngineFailure`."""
        if not self.came:
            return None
        self.status, told = self.ended(self._clock())
        if self._finish == "content_filter":
            raise ContentFiltered("A policy of this server ended the summary of the conversation.")
        if [item["type"] for item in self.items] != ["compaction"]:
            raise EngineFailure("The model wrote no summary of the conversation. Try again.")
        window = retained(self._asked.window, self._stem, self._call.model.config.context_length)
        facts = {"id": told["id"], "object": "response.compaction", "created_at": told["created_at"]}
        return _encode({**facts, "output": [*window, *self.items], "usage": told["usage"]})


def _empty(kind: Kind) -> dict[str, Any]:
    if kind == "compaction":
        return {"type": "compaction", "encrypted_content": ""}
    if kind == "reasoning":
        return {"type": "reasoning", "summary": [], "encrypted_content": None}
    return {"type": "message", "role": "assistant", "content": []}


def _called_item(kind: Kind, call_id: str, named: Named) -> dict[str, Any]:
    item = {"type": kind, "call_id": call_id, "name": named.name}
    if named.namespace is not None:
        item["namespace"] = named.namespace
    return item | ({"input": ""} if kind == "custom_tool_call" else {"arguments": ""})


def _summary(asked: Asked) -> str | None:
    reasoning = asked.request.reasoning
    return None if reasoning is None else reasoning.summary or reasoning.generate_summary


def _logprobs(told: ChatLogprobs | None) -> list[dict[str, Any]]:
    return [
        {
            "token": one.token,
            "logprob": one.logprob,
            "bytes": one.bytes or [],
            "top_logprobs": [
                {"token": top.get("token", ""), "logprob": top.get("logprob", 0.0), "bytes": top.get("bytes") or []}
                for top in one.top_logprobs
            ],
        }
        for one in (told.content if told is not None else None) or ()
    ]


def _input_of(arguments: str) -> str:
    """Of a custom tool's call, which a model may have written wrong: then all of it is the input."""
    try:
        return _INPUT.decode(arguments).get("input", arguments)
    except msgspec.DecodeError:
        return arguments
