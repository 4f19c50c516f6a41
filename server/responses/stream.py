"""A response as a stream of events, each with its number. Pure.

`response.created`, `response.in_progress`, then for each item `output_item.added`, what its kind brings, and
`output_item.done`; at the end `response.completed`, `response.incomplete` or `response.failed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from server.call import Call
from server.errors import GatewayError
from server.openai.events import Batch, TextEvent
from server.responses.forms import UNHEARD, WAITING, Kind
from server.responses.output import Called, Open, Output
from server.responses.response import Status, response_of
from server.responses.seal import Sealer
from server.responses.translate import Asked

_DELTAS: Mapping[Kind, str] = {
    "reasoning": "response.reasoning_text.delta",
    "output_text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "function_call": "response.function_call_arguments.delta",
    "mcp_call": "response.mcp_call_arguments.delta",
}
"""The input of a custom tool, and code, is known when its call has ended: it comes in one piece."""
_PARTS: Mapping[Kind, dict[str, Any]] = {
    "reasoning": {"type": "reasoning_text", "text": ""},
    "output_text": {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
    "refusal": {"type": "refusal", "refusal": ""},
}
"""What an item's one part is when it begins."""
_TYPE = b'{"type":"'
_encode = msgspec.json.encode


class ResponseStream(Output):
    """Gives the events for each batch; one after the other they are the stream."""

    def __init__(self, call: Call, asked: Asked, sealer: Sealer) -> None:
        super().__init__(call, asked, sealer)
        self.number = 0  # of the next event
        self._out: list[bytes] = []
        self._before = b""  # of a delta's text, in the open item
        self._begun = False
        self._created = False

    def queued(self) -> list[bytes]:
        """Of one that waits for its turn in the background."""
        self._create("queued")
        self._event("response.queued", {"response": response_of(self._call, self._asked, "queued", [])})
        return self.taken()

    def batch(self, batch: Batch) -> list[bytes]:
        self.begin()
        for event in batch:
            one = self._open
            if isinstance(event, TextEvent) and one is not None and one.channel == event.template.channel:
                one.text.append(event.text)  # what nearly every event is: some more of the same text
                self._delta_of(event.text)
            else:
                self.feed(event)
        return self.taken()

    def begin(self) -> None:
        if not self._begun:
            self._begun = True
            if not self._created:
                self._create("in_progress")
            begun = response_of(self._call, self._asked, "in_progress", [])
            self._event("response.in_progress", {"response": begun})
            for index in range(len(self._asked.tools.lists)):
                self._listed(index, self.items[index])

    def _create(self, status: Status) -> None:
        self._created = True
        self._event("response.created", {"response": response_of(self._call, self._asked, status, [])})

    def end(self, now: float) -> tuple[Status, bytes, list[bytes]]:
        """How it ended, the Response object, and the last events; what ends the stream is the last of them."""
        status, told = self.ended(now)
        body = _encode(told)
        self._event(f"response.{status}", {"response": msgspec.Raw(body)})
        return status, body, self.taken()

    def failed(self, error: GatewayError) -> tuple[bytes, list[bytes]]:
        """The same for one that could not be finished."""
        self.begin()
        body = self._broken_off(error)
        about = {"code": error.code, "message": error.message, "param": error.param}
        self._event("error", about)
        self._event("response.failed", {"response": msgspec.Raw(body)})
        return body, self.taken()

    def told(self) -> list[bytes]:
        """What there is to tell that no batch brought."""
        self.begin()
        return self.taken()

    def taken(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def _event(self, name: str, fields: Mapping[str, Any]) -> None:
        told = _encode({"type": name, "sequence_number": self.number, **fields})
        self.number += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), told))

    def _listed(self, index: int, item: dict[str, Any]) -> None:
        """What an MCP server offers was known before the response began."""
        about = {"item_id": item["id"], "output_index": index}
        begun = item | dict[str, Any](tools=[], error=None)
        self._event("response.output_item.added", {"output_index": index, "item": begun})
        self._event("response.mcp_list_tools.in_progress", about)
        self._event(f"response.mcp_list_tools.{'completed' if item['error'] is None else 'failed'}", about)
        self._event("response.output_item.done", {"output_index": index, "item": item})

    def _added(self, one: Open) -> None:
        self._before = b""
        if one.kind in UNHEARD:
            return
        self._event("response.output_item.added", {"output_index": one.index, "item": _begun(one)})
        if one.kind in WAITING:
            self._event(f"response.{one.kind}.in_progress", _item(one))
        part = _PARTS.get(one.kind)
        if part is not None and self._seen(one):
            self._event("response.content_part.added", {**_place(one), "part": part})
        name = _DELTAS.get(one.kind)
        if name is not None and self._seen(one):
            self._before = _before(name, one)

    def _said(self, one: Open, escaped: bytes, logprobs: list[dict[str, Any]] | None) -> None:
        if logprobs and self._before:
            told = {**_place(one), "delta": msgspec.Raw(b'"' + escaped + b'"'), "logprobs": logprobs}
            self._event(_DELTAS[one.kind], told)
        else:
            self._delta_of(escaped)

    def _delta_of(self, escaped: bytes) -> None:
        """Only letters and number change from delta to delta: no JSON is made for each."""
        if self._before:
            self._out.append(b'%b%b","sequence_number":%d}\n\n' % (self._before, escaped, self.number))
            self.number += 1

    def _ended(self, one: Open, item: dict[str, Any], text: str) -> None:
        about = _item(one)
        if one.kind == "function_call":
            done = {**about, "name": item["name"], "arguments": text}
            self._event("response.function_call_arguments.done", done)
        elif one.kind == "custom_tool_call":
            if item["input"]:
                self._event("response.custom_tool_call_input.delta", {**about, "delta": item["input"]})
            self._event("response.custom_tool_call_input.done", {**about, "input": item["input"]})
        elif one.kind == "mcp_call":
            self._event("response.mcp_call_arguments.done", {**about, "arguments": text})
        elif one.kind == "code_interpreter_call":
            self._event("response.code_interpreter_call_code.delta", {**about, "delta": item["code"]})
            self._event("response.code_interpreter_call_code.done", {**about, "code": item["code"]})
        elif one.kind in UNHEARD:
            self._event("response.output_item.added", {"output_index": one.index, "item": item})
        elif one.kind in _PARTS and self._seen(one):
            self._part_ended(one, item, text)
        if one.kind == "code_interpreter_call" and item["status"] == "in_progress":
            self._event("response.code_interpreter_call.interpreting", about)
        elif one.kind == "web_search_call":
            self._event("response.web_search_call.in_progress", about)
            self._event("response.web_search_call.searching", about)
        if one.kind not in WAITING or item["status"] != "in_progress":
            self._event("response.output_item.done", {"output_index": one.index, "item": item})

    def _settled(self, called: Called) -> None:
        item, kind = called.item, called.item["type"]
        about = {"item_id": item["id"], "output_index": called.index}
        if called.made:  # there is no event for code or a search that failed
            self._event(f"response.{kind}.{item['status'] if kind == 'mcp_call' else 'completed'}", about)
        self._event("response.output_item.done", {"output_index": called.index, "item": item})

    def _part_ended(self, one: Open, item: dict[str, Any], text: str) -> None:
        name = _DELTAS[one.kind].removesuffix("delta") + "done"
        part = item["content"][0]
        told: dict[str, Any] = {**_place(one), "refusal" if one.kind == "refusal" else "text": text}
        if one.kind == "output_text":
            told["logprobs"] = one.logprobs
        self._event(name, told)
        self._event("response.content_part.done", {**_place(one), "part": part})
        for index, summary in enumerate(item.get("summary") or ()):
            self._summary(one, index, summary)

    def _summary(self, one: Open, index: int, part: dict[str, Any]) -> None:
        about = {"item_id": one.item["id"], "output_index": one.index, "summary_index": index}
        begun = {"type": "summary_text", "text": ""}
        self._event("response.reasoning_summary_part.added", {**about, "part": begun})
        self._event("response.reasoning_summary_text.delta", {**about, "delta": part["text"]})
        self._event("response.reasoning_summary_text.done", {**about, "text": part["text"]})
        self._event("response.reasoning_summary_part.done", {**about, "part": part})

    def _seen(self, one: Open) -> bool:
        return one.kind != "reasoning" or self._shown


def data_of(frame: bytes) -> bytes:
    """The JSON of an event as it stands in the stream."""
    return frame.partition(b"\ndata: ")[2].rstrip()


def frame_of(data: bytes) -> bytes:
    """The reverse: every event of ours begins with its type."""
    return b"event: %b\ndata: %b\n\n" % (data.removeprefix(_TYPE).partition(b'"')[0], data)


def _begun(one: Open) -> dict[str, Any]:
    return one.item if one.kind == "compaction" else {**one.item, "status": "in_progress"}


def _item(one: Open) -> dict[str, Any]:
    return {"item_id": one.item["id"], "output_index": one.index}


def _place(one: Open) -> dict[str, Any]:
    return {**_item(one), "content_index": 0}


def _before(name: str, one: Open) -> bytes:
    """What stands before the letters of a delta."""
    place = _place(one) if one.kind in _PARTS else _item(one)
    if one.kind == "output_text":
        place["logprobs"] = []
    return b'event: %b\ndata: %b,"delta":"' % (name.encode(), _encode({"type": name, **place})[:-1])
