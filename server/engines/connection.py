"""One keep-alive HTTP/1.1 connection to an engine: an asyncio protocol over httptools.

Back-pressure: above `HIGH_WATER` unread bytes the socket is not read until the reader has caught up. Deadlines are
kept by the watchdog through `tick`, so that a read costs no timer.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import cast

import httptools

from server.config import Timeouts

HIGH_WATER = 256 * 1024
MAX_ANSWER_HEAD = 64 * 1024


class EngineLost(Exception):
    """The connection broke. `before_answer`: no byte of the answer had come, so the call may be tried elsewhere."""

    def __init__(self, reason: str, *, before_answer: bool) -> None:
        super().__init__(reason)
        self.before_answer = before_answer


class EngineSilent(Exception):
    """A deadline passed; the text says which."""


class Connection(asyncio.Protocol):
    """Used for one exchange at a time: `send`, `head`, `read` until b"", then `reusable` tells whether it can go on."""

    def __init__(self, timeouts: Timeouts, heartbeat_s: float) -> None:
        self._timeouts = timeouts
        self._heartbeat_s = heartbeat_s
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self.idle_since = perf_counter()
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._buffered = 0
        self._head_bytes = 0
        self._paused = False
        self._keep_alive = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.complete = False
        self.started = self._last_byte = self._last_beat = perf_counter()
        self._beat = False

    # What a caller does

    def send(self, head: bytes, body: bytes) -> None:
        """Begin an exchange."""
        self._reset()
        if self._transport is None or self._transport.is_closing():
            raise EngineLost("closed before the request", before_answer=True)
        self._transport.write(head + body)

    async def head(self) -> bool:
        """Wait for the status line and headers; False for a heartbeat (the engine is silent, ask again)."""
        while not self.status:
            self._raise_failure()
            if self._take_beat():
                return False
            await self._wait()
        return True

    async def read(self) -> bytes | None:
        """What has come of the body since the last call; b"" at its end; None for a heartbeat."""
        while not self._body:
            if self.complete:
                return b""
            self._raise_failure()
            if self._take_beat():
                return None
            await self._wait()
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._last_byte = perf_counter()  # the silence was ours
            self._transport.resume_reading()
        return data

    @property
    def reusable(self) -> bool:
        usable = self.complete and self._keep_alive and self._failure is None and not self._body
        return usable and self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        """Close at once; the engine sees the client leave and stops computing."""
        if self._transport is not None:
            self._transport.abort()

    def tick(self, now: float) -> None:
        """Called by the watchdog while an exchange is open."""
        silent = now - self._last_byte
        limit = self._timeouts.between_bytes_s if self.status else self._timeouts.first_byte_s
        if now - self.started > self._timeouts.total_s:
            self._fail(EngineSilent("the whole call took too long"))
        elif silent > limit and not self._paused:
            self._fail(EngineSilent("the engine was silent for too long"))
        elif now - max(self._last_byte, self._last_beat) > self._heartbeat_s and not self._paused:
            self._last_beat = now
            self._beat = True
            self._wake()

    # What asyncio and httptools call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._last_byte = perf_counter()
        if not self.status:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_ANSWER_HEAD and len(data) < self._head_bytes:
                self._fail(EngineLost("an answer head without end", before_answer=False))
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(EngineLost("an answer that is not HTTP", before_answer=False))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.status and not self.complete and not self._delimited():
            self.complete = True  # an answer that ends with the connection
            self._wake()
            return
        if not self.complete:
            self._fail(EngineLost("the engine closed the connection", before_answer=not self._head_bytes))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if 100 <= self.status < 200:
            self.status = 0  # an interim answer; the real one follows
            return
        self.complete = True

    # Inside

    def _delimited(self) -> bool:
        return b"content-length" in self.headers or b"chunked" in self.headers.get(b"transfer-encoding", b"")

    def _take_beat(self) -> bool:
        beat, self._beat = self._beat, False
        return beat

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
