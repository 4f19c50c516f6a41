"""uvicorn's HTTP protocol with what it lacks: a bound on the request head, in bytes and in time, and JSON errors."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.errors import GatewayError, HeadersTooLarge, InvalidRequest

HEAD_TIMEOUT_S = 15.0


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
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes:
            if self._head_bytes > self.max_head:
                self._refuse(HeadersTooLarge(f"The request head is larger than {self.max_head} bytes."))
            else:
                self._await_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        oversize = sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > self.max_head
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        if oversize:
            self._refuse(HeadersTooLarge(f"The request head is larger than {self.max_head} bytes."))
            return
        super().on_headers_complete()

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
