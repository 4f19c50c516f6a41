"""HTTP to one tool server: a connection for each exchange, which ends when whoever waits for it gives up.

There is one exchange for a call that takes as long as a tool does: a kept connection would save little, and could be
half closed. No redirect is followed and no proxy asked: nothing else than the configured server is ever spoken to.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

import httptools

from server.toolbox.faults import not_mcp, too_large, unreachable

READ = 65_536  # bytes at once
MOST_HEAD = 65_536
ACCEPT = "application/json, text/event-stream"


class Reader(Protocol):
    """Takes the body of an answer. Both may raise `ToolFault`."""

    def head(self, headers: Mapping[str, str]) -> None: ...

    def data(self, data: bytes) -> bool:
        """True if nothing more is needed."""
        ...


class _Answer:
    """What httptools calls."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.headed = self.complete = False
        self.body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.complete = True

    def taken(self) -> bytes:
        body, self.body = b"".join(self.body), []
        return body


class ToolHttp:
    """Of the server at `url`. Who calls sets the time limit; cancelled, it closes the connection."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._target = parts.path or "/"
        self._head = f"host: {parts.netloc}\r\naccept: {ACCEPT}\r\nconnection: close\r\n{more}"

    async def exchange(
        self, method: str, body: bytes, headers: Mapping[str, str], reader: Reader | None
    ) -> tuple[int, Mapping[str, str]]:
        """Status and headers of the answer; a good one's body goes to `reader`. Raises `ToolFault`."""
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"{method} {self._target} HTTP/1.1\r\n{self._head}{more}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            stream, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
            try:
                writer.write(head.encode("latin-1") + body)
                return await _answer(stream, reader)
            finally:
                writer.transport.abort()
        except OSError:
            raise unreachable() from None


async def _answer(stream: asyncio.StreamReader, reader: Reader | None) -> tuple[int, Mapping[str, str]]:
    answer, begun, size = _Answer(), False, 0
    parser = httptools.HttpResponseParser(answer)
    while not answer.complete:
        data = await stream.read(READ)
        if not data:
            break  # an answer without a length ends so
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise not_mcp() from None
        size += len(data)
        if not answer.headed:
            if size > MOST_HEAD:
                raise too_large(MOST_HEAD)
            continue
        status = parser.get_status_code()
        if reader is None or not 200 <= status < 300:
            return status, answer.headers
        if not begun:
            begun = True
            reader.head(answer.headers)
        if (body := answer.taken()) and reader.data(body):
            return status, answer.headers
    if not answer.headed:
        raise unreachable()
    return parser.get_status_code(), answer.headers
