"""The Model Context Protocol without IO: what is sent to a server, and what its answers say. Pure.

Revisions 2025-03-26 to 2025-11-25 (https://modelcontextprotocol.io/specification): JSON-RPC 2.0 in POSTs, each answered
with JSON or with server-sent events of which one is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from server.responses.hosted import Listed, Outcome, execution_error
from server.toolbox.faults import INTERNAL, ToolFault, not_mcp, too_large

OFFERED = "2025-11-25"
SPOKEN = frozenset(("2025-03-26", "2025-06-18", OFFERED))
MOST_ANSWER = 4 * 1024 * 1024  # bytes
MOST_TOOLS = 128  # of one server
MOST_PAGES = 16
MOST_MESSAGE = 1000  # characters of a server's words about its failure
CUT = "\n(cut)"
NONE = Raw()
_encode = msgspec.json.encode


class _Error(Struct):
    code: int = INTERNAL
    message: str = ""


class _Message(Struct):
    id: int | str | None = None
    method: str | None = None
    result: Raw = NONE
    error: _Error | None = None


class Begun(Struct):
    """What a server says to `initialize`."""

    protocol_version: str = field(name="protocolVersion")


class _Tool(Struct):
    name: str
    schema: dict[str, Any] = field(name="inputSchema")
    description: str | None = None
    annotations: dict[str, Any] | None = None


class Page(Struct):
    tools: list[_Tool]
    next_cursor: str | None = field(name="nextCursor", default=None)

    def listed(self) -> list[Listed]:
        return [Listed(one.name, one.description, one.schema, one.annotations) for one in self.tools]


class _Resource(Struct):
    text: str | None = None


class _Content(Struct):
    type: str
    text: str | None = None
    resource: _Resource | None = None


class Result(Struct):
    content: list[_Content] = []
    structured: Any = field(name="structuredContent", default=None)
    is_error: bool = field(name="isError", default=False)

    def outcome(self, most: int) -> Outcome:
        """For the model, at most `most` bytes of it."""
        texts = [_text(one) for one in self.content]
        if not texts and self.structured is not None:
            texts = [_encode(self.structured).decode()]
        text = shortened("\n".join(texts), most)
        return Outcome(None, execution_error(text)) if self.is_error else Outcome(text)


_MESSAGE, _MESSAGES = msgspec.json.Decoder(_Message), msgspec.json.Decoder(list[_Message])
BEGUN, PAGE, RESULT = msgspec.json.Decoder(Begun), msgspec.json.Decoder(Page), msgspec.json.Decoder(Result)


def request(number: int, method: str, params: Mapping[str, Any]) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def notification(method: str) -> bytes:
    return _encode({"jsonrpc": "2.0", "method": method})


def greeting(version: str) -> dict[str, Any]:
    """Of a client that can do nothing but call tools: no server may ask it for more."""
    client = {"name": "portico", "version": version}
    return {"protocolVersion": OFFERED, "capabilities": {}, "clientInfo": client}


class Reading:
    """Reads the answer to request `number` from the body of a POST. `result` is its JSON once it has come."""

    def __init__(self, number: int) -> None:
        self.result: bytes | None = None
        self._number = number
        self._events: bool | None = None
        self._body = bytearray()
        self._size = 0

    def head(self, headers: Mapping[str, str]) -> None:
        self._events = headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"

    def data(self, data: bytes) -> bool:
        """True when it has come. Raises `ToolFault`."""
        self._size += len(data)
        if self._size > MOST_ANSWER:
            raise too_large(MOST_ANSWER)
        self._body += data
        if self._events:
            self._each_event()
        return self.result is not None

    def end(self) -> bytes:
        """The body is over. Raises `ToolFault`."""
        if self.result is None:
            if self._events:
                self._event(bytes(self._body))
            else:
                self._take(bytes(self._body))
        if self.result is None:
            raise not_mcp()
        return self.result

    def _each_event(self) -> None:
        """Events end with an empty line, whatever ends a line."""
        if b"\r" in self._body:
            self._body = self._body.replace(b"\r\n", b"\n")
        while self.result is None and (end := self._body.find(b"\n\n")) >= 0:
            event = bytes(self._body[:end])
            del self._body[: end + 2]
            self._event(event)

    def _event(self, event: bytes) -> None:
        data = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
        if any(data):
            self._take(b"\n".join(data))

    def _take(self, data: bytes) -> None:
        for message in _messages(data):
            if message.id != self._number or message.method is not None:
                continue  # a notification, or a question: it was told that nobody answers those
            if message.error is not None:
                told = shortened(message.error.message, MOST_MESSAGE) or "The tool server refused the request."
                raise ToolFault("protocol_error", told, message.error.code)
            if message.result:
                self.result = bytes(message.result)


def shortened(text: str, most: int) -> str:
    """Not more than `most` bytes of UTF-8, and what says that something is missing."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode()
    return data[: max(0, most - len(CUT))].decode("utf-8", "ignore") + CUT


def read(decoder: msgspec.json.Decoder[Any], result: bytes) -> Any:
    """Raises `ToolFault`."""
    try:
        return decoder.decode(result)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise not_mcp() from None


def _messages(data: bytes) -> Sequence[_Message]:
    """One, or several where a server sends a batch."""
    if data.lstrip().startswith(b"["):
        return read(_MESSAGES, data)
    return [read(_MESSAGE, data)]


def _text(part: _Content) -> str:
    if part.text is not None:
        return part.text
    if part.resource is not None and part.resource.text is not None:
        return part.resource.text
    return f"(content of type {shortened(part.type, 32)!r}, which the model does not read)"
