"""uvicorn's HTTP protocol with what it lacks: a bound on the request head, in bytes and in time, and JSON errors."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
        super().on_headers_complete()

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
