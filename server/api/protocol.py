"""uvicorn's HTTP protocol with what it lacks: relay paths that skip ASGI, a bound on the request head, JSON errors.

A relay path costs no task, no scope and no `receive` and `send`: its requests become `Inbound`s, whose answers are
written from the callbacks that bring them. Everything else is uvicorn's and goes to FastAPI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from server.api.http import answer_headers, lines, new_request_id
from server.api.inbound import Handler, Inbound
from server.errors import GatewayError, HeadersTooLarge, InvalidRequest
from server.telemetry.refusals import Refusals

HEAD_TIMEOUT_S = 15.0
LINGER_S = 60.0


def protocol_class(
    handlers: Mapping[str, Handler], noted: Refusals, max_header_bytes: int, *, preflights: bool
) -> type[HttpToolsProtocol]:
    """The protocol for `uvicorn.Config(http=...)`. With `preflights`, OPTIONS goes to the app on every path."""
    by_path = {path.encode(): handler for path, handler in handlers.items()}

    class Bound(Protocol):
        max_head = max_header_bytes
        relays = by_path
        refusals = noted
        preflights_to_app = preflights

    return Bound


class Protocol(HttpToolsProtocol):
    max_head: int
    relays: Mapping[bytes, Handler]
    refusals: Refusals
    preflights_to_app: bool
    parser: Any  # httptools has no types
    cycle: Any  # the latest request: uvicorn's RequestResponseCycle, an Inbound, or None before the first

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._head_bytes = 0
        self._latest = 0
        self._in_head = True
        self._active: Inbound | RequestResponseCycle | None = None  # whose answer is being sent
        self._deadline: float | None = None  # in the loop's time: when the client's turn is over
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._upgrading = False
        self._deaf = False  # what still comes is not looked at: the connection closes after the open answer

    # What asyncio calls

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # Every write goes to the socket at once and not after the loop's other work. What the socket does not take
        # pauses the answer, however little it is.
        transport.set_write_buffer_limits(high=0)
        self._due(HEAD_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._latest = len(data)
        self._head_bytes += self._latest
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay_with_http(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(InvalidRequest("The request is not valid HTTP/1.1."))
            return
        if self._in_head:
            if self._head_bytes > self.max_head:
                self._refuse(self._head_too_large())
            elif self._deadline is None and (self._active is None or self._active.response_complete):
                self._due(HEAD_TIMEOUT_S)
        elif isinstance(self.cycle, Inbound) and self.cycle.more_body and not self.cycle.response_complete:
            self._due(self.cycle.silence_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
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

    # What the parser calls

    def on_message_begin(self) -> None:
        self._deadline = None
        self._in_head = True
        self._head_bytes = self._latest
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        # What was received so far may hold some of the body too: only then is the head itself measured.
        oversize = self._head_bytes > self.max_head and self._head_size() > self.max_head
        self._in_head = False
        self._deadline = None
        if oversize:
            self._refuse(self._head_too_large())
            return
        self._upgrading = self.parser.should_upgrade()
        if self._upgrading:
            return
        handler = self.relays.get(self.url) or self._handler_of_path()
        method: bytes = self.parser.get_method()
        if handler is None or (method == b"OPTIONS" and self.preflights_to_app):
            self._to_app()
            return
        http11 = self.parser.get_http_version() == "1.1"
        self.cycle = request = Inbound(
            handler,
            self.transport,
            method,
            dict(self.headers),
            self.server_state.default_headers,
            self.on_response_complete,
            chunked=http11,
            keep_alive=http11 and self.parser.should_keep_alive(),
            expects_100=self.expect_100_continue,
        )
        if self._active is None or self._active.response_complete:
            self._start(request)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((request, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            return
        if isinstance(self.cycle, Inbound):
            self.cycle.data(body)
        elif self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrading or self._deaf:
            return
        if isinstance(self.cycle, Inbound):
            self._deadline = None
            self.cycle.complete()
        elif self.cycle is not None:
            super().on_message_complete()

    # What an answer calls

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            request, app = self.pipeline.pop()
            if isinstance(request, Inbound):
                self._start(request)
            else:
                self._start_asgi_task(request, app)
        elif self._in_head:
            self._due(HEAD_TIMEOUT_S)
        # A refusal may come before the body. Closing now could reset the connection before the client has read the
        # answer, so the rest is read and dropped; but not for ever.
        else:
            self._due(LINGER_S if self.cycle.more_body else self.timeout_keep_alive)

    # Inside

    def _start(self, request: Inbound) -> None:
        self._active = request
        if self.flow.write_paused:  # by answers before it
            request.pause()
        request.start()

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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _head_too_large(self) -> HeadersTooLarge:
        return HeadersTooLarge(f"The request head is larger than {self.max_head} bytes.")

    def _stay_with_http(self, rest: bytes) -> None:
        """A request that offers another protocol, as Java's client does with `Upgrade: h2c`, is one like any other.

        The parser takes what follows such a head for the other protocol: so it reads the head again, without the offer.
        """
        self._upgrading = False
        names = (b"upgrade", b"connection", b"http2-settings")
        head = [b"%b: %b\r\n" % header for header in self.headers if header[0] not in names]
        keep = [] if self.parser.should_keep_alive() else [b"connection: close\r\n"]
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join([line, *head, *keep, b"\r\n", rest]))

    def _refuse(self, error: GatewayError) -> None:
        """Answer what cannot become a request, and close. An open call is finished first; then there is no answer."""
        self._deaf = True
        request_id = new_request_id()
        self.refusals.note(request_id, "unknown", error.status, error.outcome, 0.0)
        if self._active is not None and not self._active.response_complete:
            self._active.keep_alive = False
            self.pipeline.clear()
            return
        if self.transport.is_closing():
            return
        body = error.body()
        self.transport.write(
            b"%b%b%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (
                STATUS_LINE[error.status],
                lines(self.server_state.default_headers),
                answer_headers(request_id, None, perf_counter()),
                len(body),
                body,
            )
        )
        self.transport.close()

    def _due(self, seconds: float) -> None:
        """What the client has to do next, it has to do within `seconds`.

        One timer for all of a connection's deadlines, left to run when a deadline is dropped or put off: keeping it
        exact would cost every request a timer.
        """
        self._deadline = when = self.loop.time() + seconds
        if self._timer is None or when < self._timer_at:
            self._arm(when)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self.loop.call_at(when, self._at_deadline)

    def _at_deadline(self) -> None:
        self._timer = None
        if self._deadline is None or self.transport.is_closing():
            return
        if self.loop.time() < self._deadline:
            self._arm(self._deadline)
        elif isinstance(self.cycle, Inbound) and self.cycle.more_body and not self.cycle.response_complete:
            self.cycle.overdue()
        else:
            self.transport.close()
