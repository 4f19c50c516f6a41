"""uvicorn's HTTP protocol with what it lacks: relay paths that skip ASGI, bounds on what a client may do, JSON errors.

A relay path costs no task, no scope and no `receive` and `send`: its requests become `Inbound`s, whose answers are
written from the callbacks that bring them. Everything else is uvicorn's and goes to FastAPI.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from server.api.deadline import Deadline
from server.api.http import Lines, answer_headers, new_request_id
from server.api.inbound import Handler, Inbound
from server.errors import GatewayError, HeadersTooLarge, InvalidRequest
from server.outbox import Outbox
from server.telemetry.refusals import Refusals

HEAD_TIMEOUT_S = 15.0
LINGER_S = 30.0  # for the rest of a body that was refused
FEW_PIPELINED = 4  # requests that may wait behind an open one before reading stops
MOST_PIPELINED = 64  # that one read may bring; the connection ends after them
log = logging.getLogger("portico")


@dataclass(frozen=True)
class HttpSettings:
    """`handlers` by path. With `preflights`, OPTIONS goes to the app on every path."""

    handlers: Mapping[str, Handler]
    refusals: Refusals
    max_head_bytes: int
    stall_s: float  # a client that does not read is let go after so long
    idle_s: float  # an unused connection stays open for so long
    preflights: bool


class Protocol(HttpToolsProtocol):
    http: HttpSettings
    relays: Mapping[bytes, Handler]
    outbox: Outbox
    defaults: Lines  # of every answer
    leaving = False  # another process has taken this one's place: every answer is the last of its connection
    parser: Any  # httptools has no types
    cycle: Any  # the latest request: uvicorn's RequestResponseCycle, an Inbound, or None before the first

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._latest = 0  # bytes of the latest read
        self._first = 0  # bytes of the read in which the head began, and perhaps something else ended
        self._since = 0  # bytes read since then, or since the last of a body
        self._body_heard = False
        self._answered_one = False  # in this read: how much of the answer is unsent is known in the next round
        self._in_head = True
        self._upgrading = False
        self._deaf = False  # what still comes is not looked at: the connection closes after the open answers
        self._active: Inbound | RequestResponseCycle | None = None  # whose answer is being sent
        self._deadline = Deadline(self.loop, self._overdue)  # of the client, for what it has to do next

    # What asyncio and uvicorn call

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline.set(HEAD_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._latest = len(data)
        self._answered_one = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over_offer(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._broken(error)
        if self._in_head or self.flow.write_paused or (self.cycle is not None and self.cycle.more_body):
            self._after_read()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.stop()
        self.connections.discard(self)
        latest, active = self.cycle, self._active
        self.cycle = self._active = None
        self.pipeline.clear()
        for cycle in (active,) if active is latest else (active, latest):
            if isinstance(cycle, Inbound):
                cycle.disconnect()
            elif cycle is not None:
                cycle.disconnected = not cycle.response_complete
                cycle.message_event.set()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        if isinstance(self._active, Inbound):
            self._active.pause()

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        if isinstance(self._active, Inbound):
            self._active.resume()
        if self._active is None or self._active.response_complete:
            self._next()

    def shutdown(self) -> None:
        self.outbox.flush()
        super().shutdown()

    # What the parser calls

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            self._deaf = True
            self.cycle.keep_alive = False
        self._deadline.drop()
        self._in_head = True
        self._first, self._since = self._latest, 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # what comes after a chunked body is dropped
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        # What was received so far may hold some of the body too: only then is the head itself measured.
        limit = self.http.max_head_bytes
        oversize = self._since + self._latest > limit and self._head_size() > limit
        self._in_head = False
        self._since = 0
        self._deadline.drop()
        if oversize:
            self._refuse(self._head_too_large())
            return
        self._upgrading = self.parser.should_upgrade()
        if self._upgrading:
            return
        handler = self.relays.get(self.url) or self._handler_of_path()
        method: bytes = self.parser.get_method()
        if handler is None or (method == b"OPTIONS" and self.http.preflights):
            self._to_app()
            return
        http11 = self.parser.get_http_version() == "1.1"
        self.cycle = request = Inbound(
            handler,
            self.transport,
            self.outbox,
            method,
            dict(self.headers),
            self.defaults.of(self.server_state.default_headers),
            self.on_response_complete,
            chunked=http11,
            keep_alive=http11 and not self.leaving and self.parser.should_keep_alive(),
            expects_100=self.expect_100_continue,
        )
        idle = self._active is None or self._active.response_complete
        if idle and not self.pipeline and not self._answered_one and not self.flow.write_paused:
            self._start(request)
            return
        if idle and not self.pipeline:
            self.loop.call_soon(self._next)
        self.pipeline.appendleft((request, self.app))  # type: ignore[arg-type]
        self._bound_pipeline()

    def on_body(self, body: bytes) -> None:
        self._body_heard = True
        if self._deaf or self.cycle is None:
            return
        if isinstance(self.cycle, Inbound):
            self.cycle.data(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading or self._deaf or self.cycle is None:
            return
        if not isinstance(self.cycle, Inbound):
            super().on_message_complete()
            return
        self._deadline.drop()
        self.cycle.complete()
        if self.cycle is self._active and self.cycle.response_complete and not self._deadline.is_set:
            self._answered()  # it was refused by its head, and has now come to its end

    # What an answer calls

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._answered()

    # Inside

    def _after_read(self) -> None:
        """What a read leaves unfinished must go on in time, and within bounds."""
        request, limit = self.cycle, self.http.max_head_bytes
        if self.flow.write_paused and (self._active is None or self._active.response_complete):
            self._deadline.set(self.http.stall_s)
        if self._deaf:
            return
        if self._in_head:
            self._since += self._latest
            if self._head_size() > limit or self._since - self._first > limit:
                self._refuse(self._head_too_large())
            elif not self._deadline.is_set and (self._active is None or self._active.response_complete):
                self._deadline.set(HEAD_TIMEOUT_S)
        elif request is not None and request.more_body:
            self._since = 0 if self._body_heard else self._since + self._latest
            self._body_heard = False
            if self._since > limit:  # trailers or chunk extensions without end
                self._refuse(self._head_too_large())
            elif isinstance(request, Inbound) and request is self._active and not request.response_complete:
                self._deadline.set(request.silence_s)

    def _answered(self) -> None:
        """An answer is complete: what may follow on this connection."""
        self._answered_one = True
        if self.transport.is_closing():
            self._deadline.set(self.http.stall_s)  # uvicorn closed it; what is unsent must be read in time
            return
        done = self._active
        if done is not None and not done.keep_alive:
            self._end_connection(unread=done is self.cycle and done.more_body)
        elif self.pipeline:
            # Not from here: whoever answered may be amid something, and many refusals in a row must not nest.
            self.loop.call_soon(self._next)
        else:
            self._next()

    def _next(self) -> None:
        """Begin the request that waits, or wait for one."""
        if self.transport.is_closing() or (self._active is not None and not self._active.response_complete):
            return
        if self.flow.write_paused:  # it asks and does not read: nothing more until it has read, and not for ever
            self.flow.pause_reading()
            self._deadline.set(self.http.stall_s)
            return
        if self.pipeline:
            request, app = self.pipeline.pop()
            if isinstance(request, Inbound):
                if request.more_body:
                    self._deadline.set(request.silence_s)
                self._start(request)
            else:
                self._start_asgi_task(request, app)
        elif self._in_head:
            self._deadline.set(HEAD_TIMEOUT_S)
        # A refusal may come before the body. Closing now could reset the connection before the client has read the
        # answer, so the rest is read and dropped; but not for ever.
        else:
            self._deadline.set(LINGER_S if self.cycle is not None and self.cycle.more_body else self.http.idle_s)
        if len(self.pipeline) < FEW_PIPELINED:
            self.flow.resume_reading()

    def _start(self, request: Inbound) -> None:
        self._active = request
        if self.flow.write_paused:  # by answers before it
            request.pause()
        request.start()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def _bound_pipeline(self) -> None:
        if len(self.pipeline) >= FEW_PIPELINED:
            self.flow.pause_reading()

    def _handler_of_path(self) -> Handler | None:
        """For a target that is not plainly a path: with a query, percent signs or the server's name."""
        path = httptools.parse_url(self.url).path or b""
        return self.relays.get(unquote_to_bytes(path))

    def _to_app(self) -> None:
        self.scope = {  # type: ignore[typeddict-item]
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }
        super().on_headers_complete()
        self.cycle.keep_alive &= not self.leaving
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self._bound_pipeline()

    def _pass_over_offer(self, rest: bytes) -> None:
        """A request that offers another protocol, as Java's client does with `Upgrade: h2c`, is one like any other.

        The parser takes what follows such a head for the other protocol: so a new one reads the head again, without the
        offer. Once in a read, and never for CONNECT, which always counts as an offer.
        """
        names = (b"upgrade", b"connection", b"http2-settings")
        head = [b"%b: %b\r\n" % header for header in self.headers if header[0] not in names]
        keep = [] if self.parser.should_keep_alive() else [b"connection: close\r\n"]
        method: bytes = self.parser.get_method()
        line = b"%b %b HTTP/%b\r\n" % (method, self.url, self.parser.get_http_version().encode())
        self._upgrading = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does, and for its reason
        try:
            if method == b"CONNECT":
                raise httptools.HttpParserError
            self.parser.feed_data(b"".join([line, *head, *keep, b"\r\n", rest]))
        except (httptools.HttpParserUpgrade, httptools.HttpParserError) as error:
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if cause is not None and not isinstance(cause, httptools.HttpParserError):
            log.error("a bug in the HTTP protocol", exc_info=cause)
        self._refuse(InvalidRequest("The request is not valid HTTP/1.1."))

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _head_too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(f"The request head is larger than {self.http.max_head_bytes} bytes.")

    def _refuse(self, error: GatewayError) -> None:
        """Answer what cannot become a request, or be read to its end, and close. Open calls are finished first."""
        self._deaf = True
        active = self._active
        if active is not None and not active.response_complete:
            if isinstance(active, Inbound) and active is self.cycle and active.more_body:
                active.keep_alive = False
                active.refuse(error)  # its own body is what is wrong
                return
            active.keep_alive = False
            self.pipeline.clear()
        request_id = new_request_id()
        self.http.refusals.note(request_id, "unknown", error.status, error.outcome, 0.0)
        if self.transport.is_closing() or (active is not None and not active.response_complete):
            return
        body = error.body()
        self.outbox.write(
            self.transport,
            b"%b%b%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (
                STATUS_LINE[error.status],
                self.defaults.of(self.server_state.default_headers),
                answer_headers(request_id, None, perf_counter()),
                len(body),
                body,
            ),
        )
        self._end_connection(unread=True)

    def _end_connection(self, *, unread: bool) -> None:
        """Close once the client has what was written. With something `unread`, closing at once would reset it."""
        self._deaf = True
        self.outbox.flush()
        self.flow.resume_reading()
        if unread and self.transport.can_write_eof():
            self.transport.write_eof()
            self._deadline.set(HEAD_TIMEOUT_S)  # until the client closes
        else:
            self.transport.close()
            self._deadline.set(self.http.stall_s)  # a client that does not read would keep it open

    def _overdue(self) -> None:
        if self.transport.is_closing() or self.flow.write_paused or self._deaf:
            self.transport.abort()
        elif isinstance(self.cycle, Inbound) and self.cycle.more_body and not self.cycle.response_complete:
            self.cycle.overdue()
        else:
            self.transport.close()
            self._deadline.set(self.http.stall_s)
