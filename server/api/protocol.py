"""uvicorn's HTTP protocol with what it lacks: a bound on the request head, in bytes and in time, and JSON errors."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from server.api.http import ANSWER_AT_ONCE, HeaderList
from server.errors import GatewayError, HeadersTooLarge, InvalidRequest

HEAD_TIMEOUT_S = 15.0
LINGER_S = 60.0


def protocol_class(max_header_bytes: int) -> type[HttpToolsProtocol]:
    """The protocol for `uvicorn.Config(http=...)`, bound to a limit."""

    class Protocol(BoundedHeadProtocol):
        max_head = max_header_bytes

    return Protocol


class BoundedHeadProtocol(HttpToolsProtocol):
    max_head: int

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._head_bytes = 0
        self._latest = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._latest = len(data)
        self._head_bytes += self._latest
        super().data_received(data)
        if self._in_head:
            if self._head_bytes > self.max_head:
                self._refuse(HeadersTooLarge(f"The request head is larger than {self.max_head} bytes."))
            else:
                self._await_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = self._latest
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        # What was received so far may hold some of the body too: only then is the head itself measured.
        oversize = self._head_bytes > self.max_head and self._head_size() > self.max_head
        self._in_head = False
        self._stop_timer()
        if oversize:
            self._refuse(HeadersTooLarge(f"The request head is larger than {self.max_head} bytes."))
            return
        extensions: dict[str, Any] = {}
        self.scope["extensions"] = extensions
        super().on_headers_complete()
        extensions[ANSWER_AT_ONCE] = partial(_answer_at_once, self.cycle)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # A refusal may come before the body. Closing now could reset the connection before the client has read the
        # answer, so the rest is read and dropped; but not for ever.
        if self.cycle.more_body and not self._in_head and not self.transport.is_closing():
            self._stop_timer()
            self._head_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidRequest("The request is not valid HTTP/1.1."))

    def _await_head(self) -> None:
        """A head that has begun, or a new connection, must become a request in time."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: GatewayError) -> None:
        if self.transport.is_closing():
            return
        body = error.body()
        self.transport.write(
            b"HTTP/1.1 %d Bad Request\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (error.status, len(body), body)
        )
        self.transport.close()


def _answer_at_once(cycle: RequestResponseCycle, status: int, headers: HeaderList, body: bytes) -> None:
    """Send a whole answer in one write: what uvicorn's `send` does in two calls and two packets.

    For the relay alone: the headers must be ours, they are not checked. `headers` must hold the content-length.
    """
    if cycle.disconnected or cycle.response_started:
        return
    cycle.response_started = cycle.response_complete = True
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts += (b"\r\n", body)
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
