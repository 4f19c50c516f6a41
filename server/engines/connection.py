"""One keep-alive HTTP/1.1 connection to an engine: an asyncio protocol over httptools.

It pushes: whoever sends a request hands over a `Listener`, which hears of the answer as it comes, from the callback of
the event loop that read it. No task and no future stands between, so that a chunk costs what it must. Deadlines are
kept through `tick`.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Protocol, cast

import httptools

from server.config import Timeouts
from server.known_head import KnownHead
from server.outbox import Outbox

MAX_ANSWER_HEAD = 64 * 1024


class EngineLost(Exception):
    """The connection broke. `before_answer`: no byte of the answer had come, so the call may be tried elsewhere."""

    def __init__(self, reason: str, *, before_answer: bool) -> None:
        super().__init__(reason)
        self.before_answer = before_answer


class EngineSilent(Exception):
    """A deadline passed; the text says which."""


class Listener(Protocol):
    """Hears of one answer. None of these may raise; after `answer_end` and `answer_failed` nothing more comes."""

    def answer_data(self, data: bytes) -> None:
        """Some of the body. `Connection.status` is known."""
        ...

    def answer_end(self) -> None:
        """The answer is complete, be its body empty or not."""
        ...

    def answer_failed(self, error: EngineLost | EngineSilent) -> None:
        """The connection is closed."""
        ...


class Heads:
    """The head of the engine's latest whole answer in one read: all its connections know it."""

    __slots__ = ("ok",)

    def __init__(self) -> None:
        self.ok: KnownHead | None = None  # of status 200, on a connection that stays open


class Connection(asyncio.Protocol):
    """Used for one exchange at a time, each begun by `send`."""

    def __init__(self, timeouts: Timeouts, outbox: Outbox, heads: Heads) -> None:
        self._timeouts = timeouts
        self._heads = heads
        self._outbox = outbox
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._listener: Listener | None = None
        self._body: list[bytes] = []
        self._broken = False
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self._head_bytes = 0
        self._paused = False
        self._keep_alive = False
        self._answering = False  # a head alone says nothing: vLLM sends that of a stream before it reads the prompt
        self.status = 0
        self.complete = False
        self.started = self._last_byte = perf_counter()

    # What a caller does

    def send(self, head: bytes, body: bytes, listener: Listener) -> None:
        """Begin an exchange. Raises `EngineLost` if the connection was closed meanwhile."""
        if self._transport is None or self._broken or self._transport.is_closing():
            raise EngineLost("closed before the request", before_answer=True)
        self._begin()
        self._listener = listener
        self._outbox.write(self._transport, head + body)

    def listen(self, listener: Listener | None) -> None:
        """Let another hear the rest of the answer, or nobody."""
        self._listener = listener

    @property
    def reusable(self) -> bool:
        usable = self.complete and self._keep_alive and not self._broken and not self._paused
        return usable and self._transport is not None and not self._transport.is_closing()

    def pause(self) -> None:
        """Read no more for now: the engine's sending comes to a halt, and its silence is not held against it."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._last_byte = perf_counter()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; the engine sees the client leave and stops computing. The listener hears nothing of it."""
        self._listener = None
        self._broken = True
        if self._transport is not None:
            self._transport.abort()

    def tick(self, now: float) -> None:
        """Called a few times a second while an exchange is open."""
        silent = now - self._last_byte
        limit = self._timeouts.between_bytes_s if self._answering else self._timeouts.first_byte_s
        if now - self.started > self._timeouts.total_s:
            self._fail(EngineSilent("the whole call took too long"))
        elif silent > limit and not self._paused:
            self._fail(EngineSilent("the engine was silent for too long"))

    # What asyncio and httptools call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._last_byte = perf_counter()
        if self.complete:  # nobody asked: it must not be taken for the next answer
            self.abort()
            return
        whole = None  # the answer, if it came in one read
        if not self.status:
            if not self._head_bytes:
                if self._again(data):
                    return
                whole = data
            self._head_bytes += len(data)
            if self._head_bytes > MAX_ANSWER_HEAD and len(data) < self._head_bytes:
                self._fail(EngineLost("an answer head without end", before_answer=False))
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(EngineLost("an answer that is not HTTP", before_answer=False))
            return
        body = self._body
        if whole is not None and self.complete and body and self.status == 200 and self._keep_alive:
            self._heads.ok = KnownHead.of(whole)
        if body:
            self._answering = True
            data = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
            if self._listener is not None:
                self._listener.answer_data(data)
        if self.complete and self._listener is not None:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._broken = True
        if self._listener is None or self.complete:
            return
        # An answer that says nothing of its length ends with the connection. One that was cut short looks the same if
        # it was announced as the last; then whoever reads the body sees that it is not whole.
        if self.status and not self._keep_alive:
            self.complete = True
            self._end()
        else:
            self._fail(EngineLost("the engine closed the connection", before_answer=not self._head_bytes))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if 100 <= self.status < 200:
            self.status = 0  # an interim answer; the real one follows
            return
        self.complete = True

    # Inside

    def _again(self, data: bytes) -> bool:
        """A whole answer with the head of the one before."""
        listener, known = self._listener, self._heads.ok
        body = None if listener is None or known is None else known.body(data)
        if listener is None or not body:
            return False
        self.status, self._head_bytes = 200, len(data)
        self._keep_alive = self._answering = self.complete = True
        listener.answer_data(body)
        if self._listener is not None:
            self._end()
        return True

    def _end(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.answer_end()

    def _fail(self, failure: EngineLost | EngineSilent) -> None:
        listener = self._listener
        self.abort()
        if listener is not None:
            listener.answer_failed(failure)
