"""The load generator's HTTP client: one keep-alive connection per protocol, one request at a time on it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools


class Fault(Exception):
    """An answer that does not count; the text is a short, stable reason that errors are counted by."""


class Reader(Protocol):
    """Takes the body of one answer as it comes."""

    def feed(self, data: bytes, now: float) -> None:
        """`now` is `time.perf_counter()` of the read that brought `data`. Raises Fault."""
        ...

    def finish(self) -> None:
        """The body is whole. Raises Fault."""
        ...


@dataclass(frozen=True)
class Target:
    """Where requests go: `base` is a URL without a path, `key` the bearer token that is sent."""

    base: str
    key: str
    path: str = "/v1/chat/completions"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.base)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def request(self, body: bytes) -> bytes:
        """A whole POST, head and body: the same bytes for every target but for the host."""
        host, port = self.address
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: {host}:{port}\r\naccept: application/json\r\n"
            f"content-type: application/json\r\nuser-agent: portico-bench\r\nauthorization: Bearer {self.key}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class _Wire(asyncio.Protocol):
    """One connection; `answer` is done when the answer under way is whole, or set to what went wrong."""

    def __init__(self) -> None:
        self.usable = True
        self.answer: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._fault: Fault | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, payload: bytes, reader: Reader) -> asyncio.Future[None]:
        self._reader = reader
        self._fault = None
        self._error_body = b""
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(payload)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._settle(Fault("malformed HTTP"))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._settle(Fault("connection closed in mid-answer"))

    def on_body(self, body: bytes) -> None:
        if self._parser.get_status_code() != 200:
            self._error_body += body
        elif self._fault is None:
            try:
                self._reader.feed(body, self._now)
            except Fault as fault:
                self._fault = fault

    def on_message_complete(self) -> None:
        self.usable = self._parser.should_keep_alive()
        status = self._parser.get_status_code()
        if status != 200:
            self._fault = Fault(f"status {status}: {self._error_body[:160].decode('utf-8', 'replace')}")
        if self._fault is None:
            try:
                self._reader.finish()
            except Fault as fault:
                self._fault = fault
        self._settle(self._fault)

    def _settle(self, fault: Fault | None) -> None:
        answer, self.answer = self.answer, None
        if answer is None or answer.done():
            return
        if fault:
            answer.set_exception(fault)
        else:
            answer.set_result(None)


class Client:
    """Sends requests one after another; opens a new connection where the old one cannot be used again."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._wire: _Wire | None = None

    async def ask(self, payload: bytes, reader: Reader) -> float:
        """Send one request, feed its answer to `reader`; the time (perf_counter) of sending. Raises Fault."""
        wire = self._wire
        if wire is None or not wire.usable:
            wire = self._wire = await self._connect()
        sent = time.perf_counter()
        await wire.send(payload, reader)
        return sent

    async def _connect(self) -> _Wire:
        self.close()
        try:
            _, wire = await asyncio.get_running_loop().create_connection(_Wire, *self._target.address)
        except OSError as error:
            raise Fault(f"cannot connect: {error.strerror or type(error).__name__}") from None
        return wire

    def close(self) -> None:
        if self._wire:
            self._wire.transport.close()
            self._wire = None
