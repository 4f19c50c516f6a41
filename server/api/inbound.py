"""One request of a client on a relay path, and the wire for its answer: HTTP/1.1 without a task and without ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from server.api.http import Headers, client_request_id, new_request_id, too_large
from server.call import Key
from server.errors import GatewayError, RequestTimedOut
from server.outbox import Outbox

EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
MOST_HELD = 65_536  # bytes of a body that are read before it is known whose it is


class Handler(Protocol):
    """What answers the requests of a path (api/relay.py). Nothing of it may raise."""

    max_body_bytes: int
    silence_s: float

    def head(self, request: Inbound) -> None:
        """The head is here: refuse by it what need not be read."""
        ...

    def serve(self, request: Inbound, body: bytes) -> None: ...

    def refuse(self, request: Inbound, error: Exception) -> None: ...

    def left(self, request: Inbound) -> None:
        """The client has gone before the request was complete."""
        ...


class Flow(Protocol):
    """Where an answer comes from, to be held up or broken off by the client (`gateway.Trip`)."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def leave(self) -> None: ...


class Inbound:
    """The protocol calls the first half; the handler and its answers the second.

    `response_complete`, `keep_alive` and `more_body` are what uvicorn's protocol wants to know of a request.
    """

    __slots__ = (
        "_answered", "_body", "_chunked", "_defaults", "_expects_100", "_flow", "_held", "_outbox",
        "_size", "_transport", "_turn", "client_id", "handler", "headers", "id", "keep_alive", "key", "method",
        "more_body", "paused_since", "response_complete", "started", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        handler: Handler,
        transport: asyncio.Transport,
        outbox: Outbox,
        method: bytes,
        headers: Headers,
        defaults: bytes,
        answered: Callable[[], None],
        *,
        chunked: bool,
        keep_alive: bool,
        expects_100: bool,
    ) -> None:
        self.handler = handler
        self._transport = transport
        self._outbox = outbox
        self._defaults = defaults
        self._answered = answered
        self._chunked = chunked
        self._expects_100 = expects_100
        self._body: bytes | bytearray = b""
        self._size = 0
        self._turn = False
        self._held = False
        self._flow: Flow | None = None
        self.keep_alive = keep_alive
        self.more_body = True
        self.response_complete = False
        self.paused_since: float | None = None
        self.method = method
        self.headers = headers
        self.id = new_request_id()
        self.client_id = client_request_id(headers)
        self.key: Key | None = None
        self.started = perf_counter()
        self.waiting = False  # for whose key it is; `go_on` ends it

    # What the protocol calls

    @property
    def silence_s(self) -> float:
        """How long the client may be silent within its body."""
        return self.handler.silence_s

    def start(self) -> None:
        """Its turn: the requests before it on the connection are answered."""
        self._turn = True
        self.handler.head(self)
        if self.response_complete:
            return
        if self._size > self.handler.max_body_bytes:
            self.handler.refuse(self, too_large(self.handler.max_body_bytes))
        elif not self.waiting:
            self.go_on()

    def data(self, data: bytes) -> None:
        """Some of the body."""
        if self.response_complete or not self.more_body:
            return
        self._size += len(data)
        if self._size > self.handler.max_body_bytes:
            self._body = b""
            if self._turn:
                self.handler.refuse(self, too_large(self.handler.max_body_bytes))
        elif not self._body:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data
        if self.waiting and self._size > MOST_HELD and not self._held:
            self._held = True
            self._transport.pause_reading()

    def complete(self) -> None:
        """The body is here."""
        if not self.more_body:
            return  # it belongs to a later request, which was refused
        self.more_body = False
        if self._turn and not self.response_complete and not self.waiting:
            self._serve()

    def overdue(self) -> None:
        """The rest of the body has not come in time."""
        self.refuse(RequestTimedOut("The request body did not arrive in time."))

    def refuse(self, error: GatewayError) -> None:
        """The body cannot be read to its end."""
        if self._turn and not self.response_complete:
            self.handler.refuse(self, error)

    def disconnect(self) -> None:
        if self.response_complete:
            return
        self.response_complete = True
        flow, self._flow = self._flow, None
        if flow is not None:
            flow.leave()
        else:
            self.handler.left(self)

    def pause(self) -> None:
        """The client does not keep up."""
        self.paused_since = perf_counter()
        if self._flow is not None:
            self._flow.pause()

    def resume(self) -> None:
        self.paused_since = None
        if self._flow is not None:
            self._flow.resume()

    # What the handler and its answers call

    def go_on(self) -> None:
        """Whose request it is is known."""
        self.waiting = False
        self._release()
        if not self.more_body:
            self._serve()
        elif self._expects_100:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def attach(self, flow: Flow) -> None:
        """Where the answer comes from, unless it has come already."""
        if not self.response_complete:
            self._flow = flow
            if self.paused_since is not None:
                flow.pause()

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """The whole answer. `head` holds further header lines, checked by nobody: they must be ours."""
        if self.response_complete:
            return
        text = b"" if self.method == b"HEAD" else body
        self._write(
            b"%b%b%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (STATUS_LINE[status], self._head(), head, len(body), text)
        )
        self._done()

    def stream(self, head: bytes, data: bytes, kind: bytes = EVENT_STREAM) -> None:
        """Begin an answer that comes piece by piece; `kind` are the header lines that say of what kind it is."""
        if self.response_complete:
            return
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        self._write(b"%b%b%b%b%b\r\n%b" % (STATUS_LINE[200], self._head(), kind, head, framing, self._framed(data)))

    def write(self, data: bytes) -> None:
        """Some more of the stream; never empty, which would end it."""
        if not self.response_complete:
            self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self, data: bytes) -> None:
        """The last of the stream."""
        if self.response_complete:
            return
        self._write(self._framed(data) + (b"0\r\n\r\n" if self._chunked else b""))
        self._done()

    def drop(self) -> None:
        """Close the connection without another word."""
        self._transport.abort()

    # Inside

    def _serve(self) -> None:
        body, self._body = self._body, b""
        self.handler.serve(self, body if isinstance(body, bytes) else bytes(body))

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _head(self) -> bytes:
        return self._defaults if self.keep_alive else self._defaults + b"connection: close\r\n"

    def _write(self, data: bytes) -> None:
        self._outbox.write(self._transport, data)

    def _done(self) -> None:
        self.response_complete = True
        self._flow = None
        self._release()
        self._answered()

    def _release(self) -> None:
        if self._held:
            self._held = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
