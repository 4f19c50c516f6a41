"""How one call's events reach its client: as an event stream, or as one JSON body. In OpenAI's shape; messages.py has
another."""

from __future__ import annotations

from time import perf_counter

from server.api.http import answer_headers, error_headers, lines, rate_headers
from server.api.inbound import Inbound
from server.call import Call, Tokens
from server.errors import EngineFailure, GatewayError
from server.gateway import Gateway
from server.openai.collect import Collecting, Collector
from server.openai.events import DONE, KEEP_ALIVE, Batch
from server.openai.whole import Whole


def error_body(error: GatewayError, request_id: str) -> bytes:
    """In OpenAI's shape, whose body does not tell the request."""
    return error.body()


class Answer:
    """Sets `call.status` when a status has left. `more` are header lines that go along."""

    error_body = staticmethod(error_body)

    def __init__(self, call: Call, request: Inbound, more: bytes, stall_s: float) -> None:
        self._call = call
        self._request = request
        self._more = more
        self._stall_s = stall_s

    def fail(self, error: GatewayError) -> None:
        """Tell the client, by status."""
        if error.close:
            self._request.keep_alive = False
        self._call.status = error.status
        head = self._head(self._call.used()) + lines(error_headers(error))
        self._request.answer(error.status, head, self.error_body(error, self._call.id))

    def stalled(self, now: float) -> bool:
        """The client has not read what was sent for longer than it may."""
        since = self._request.paused_since
        return since is not None and now - since > self._stall_s

    def drop(self) -> None:
        """Give the client up."""
        self._request.drop()

    def _head(self, used: Tokens | None) -> bytes:
        """`used` by a call that has ended."""
        call = self._call
        head = answer_headers(call.id, call.client_request_id, call.received) + self._more
        if call.fallback_from is not None:
            head += b"x-portico-fallback-from: %b\r\n" % call.fallback_from.encode()
        return head if call.rate is None else head + rate_headers(call.rate, used)


class WholeAnswer(Whole, Answer):
    def __init__(self, call: Call, request: Inbound, more: bytes, stall_s: float, collector: Collecting) -> None:
        super().__init__(call, request, more, stall_s)
        self._collector = collector

    def _complete(self, body: bytes) -> None:
        self._request.answer(200, self._head(self._call.used()), body)


class StreamAnswer(Answer):
    """The status waits for the first event: an early failure is a real 4xx or 5xx, a late one an error event."""

    def __init__(self, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float) -> None:
        super().__init__(call, request, more, stall_s)
        self._grace_s = grace_s
        self._last_write = perf_counter()

    def feed(self, batch: Batch) -> None:
        self._send(self._wire(batch))

    def _send(self, data: bytes) -> None:
        if not data:
            return
        self._last_write = perf_counter()
        if self._call.status:
            self._request.write(data)
        else:
            self._begin(data)

    def beat(self, now: float) -> None:
        """After the time of grace an engine without a word for the client commits the stream to 200."""
        if now - max(self._last_write, self._call.dispatched or 0.0) < self._grace_s or self._request.paused_since:
            return
        self._last_write = now
        if self._call.status:
            self._request.write(KEEP_ALIVE)
        else:
            self._begin(KEEP_ALIVE)

    def end(self) -> None:
        if not self._call.status:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        self._request.end(self._last())

    def fail(self, error: GatewayError) -> None:
        if self._call.status:
            self._request.end(self._error_event(error))
        else:
            super().fail(error)

    def _wire(self, batch: Batch) -> bytes:
        return batch[0].wire() if len(batch) == 1 else b"".join([event.wire() for event in batch])

    def _last(self) -> bytes:
        return DONE

    def _error_event(self, error: GatewayError) -> bytes:
        return b"data: " + error.body() + b"\n\n"

    def _begin(self, data: bytes) -> None:
        self._call.status = 200
        self._request.stream(self._head(None), data)


class Answers:
    """The shape of an endpoint's answers: OpenAI's. `error_body` is for requests that did not become a call, too."""

    error_body = staticmethod(error_body)

    def of(
        self, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float
    ) -> WholeAnswer | StreamAnswer:
        if call.stream:
            return StreamAnswer(call, request, more, stall_s, grace_s)
        return WholeAnswer(call, request, more, stall_s, Collector())

    def start(
        self, gateway: Gateway, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float
    ) -> None:
        """Send a call on its way, and its answer to the client."""
        request.attach(gateway.start(call, self.of(call, request, more, stall_s, grace_s)))

    def head(self, request_id: str) -> bytes:
        """Header lines of an answer besides those that all have."""
        return b""
