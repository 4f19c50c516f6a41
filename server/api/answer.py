"""How one call's events reach its client: as an event stream, or as one JSON body. In OpenAI's shape; messages.py has
another."""

from __future__ import annotations

from time import perf_counter

from server.api.http import answer_headers, error_headers, lines, rate_headers
from server.api.inbound import Inbound
from server.call import Call, Tokens
from server.errors import EngineFailure, GatewayError
from server.openai.collect import Collector
from server.openai.events import DONE, KEEP_ALIVE, Batch


class Answer:
    """Sets `call.status` when a status has left. `cors` are header lines that go along."""

    def __init__(self, call: Call, request: Inbound, cors: bytes, stall_s: float) -> None:
        self._call = call
        self._request = request
        self._cors = cors
        self._stall_s = stall_s

    def fail(self, error: GatewayError) -> None:
        """Tell the client, by status."""
        if error.close:
            self._request.keep_alive = False
        self._call.status = error.status
        head = self._head(self._call.used()) + lines(error_headers(error))
        self._request.answer(error.status, head, self._error_body(error))

    def stalled(self, now: float) -> bool:
        """The client has not read what was sent for longer than it may."""
        since = self._request.paused_since
        return since is not None and now - since > self._stall_s

    def drop(self) -> None:
        """Give the client up."""
        self._request.drop()

    def _error_body(self, error: GatewayError) -> bytes:
        return error.body()

    def _head(self, used: Tokens | None) -> bytes:
        """`used` by a call that has ended."""
        call = self._call
        head = answer_headers(call.id, call.client_request_id, call.received) + self._cors
        return head if call.rate is None else head + rate_headers(call.rate, used)


class WholeAnswer(Answer):
    def __init__(self, call: Call, request: Inbound, cors: bytes, stall_s: float) -> None:
        super().__init__(call, request, cors, stall_s)
        self._collector = Collector()

    def feed(self, batch: Batch) -> None:
        for event in batch:
            self._collector.feed(event)

    def beat(self, now: float) -> None:
        """Nothing can be sent before the status is known."""

    def end(self) -> None:
        body = self._body()
        if body is None:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        self._call.status = 200
        self._request.answer(200, self._head(self._call.used()), body)

    def _body(self) -> bytes | None:
        """None if nothing came."""
        return self._collector.body()


class StreamAnswer(Answer):
    """The status waits for the first event: an early failure is a real 4xx or 5xx, a late one an error event."""

    def __init__(self, call: Call, request: Inbound, cors: bytes, stall_s: float, grace_s: float) -> None:
        super().__init__(call, request, cors, stall_s)
        self._grace_s = grace_s
        self._last_write = perf_counter()

    def feed(self, batch: Batch) -> None:
        data = self._wire(batch)
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


AnyAnswer = WholeAnswer | StreamAnswer


class Answers:
    """The shape of an endpoint's answers: OpenAI's."""

    def of(
        self, call: Call, request: Inbound, cors: bytes, stall_s: float, grace_s: float
    ) -> WholeAnswer | StreamAnswer:
        if call.stream:
            return StreamAnswer(call, request, cors, stall_s, grace_s)
        return WholeAnswer(call, request, cors, stall_s)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """The body for a request that did not become a call."""
        return error.body()

    def head(self, request_id: str) -> bytes:
        """Its header lines besides those of all answers."""
        return b""
