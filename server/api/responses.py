"""POST /v1/responses: OpenAI's newer shape, and the way of a chat completion.

The answer of a stored response waits at its end for the write (state/writer.py): by then its call is over, and nothing
is held for it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import time

from server.api.answer import Answers, StreamAnswer, WholeAnswer
from server.api.background import Background, BackgroundReply
from server.api.inbound import Inbound
from server.api.tool_runs import Start
from server.batches.answer import Ended, LineAnswer
from server.call import Call
from server.errors import EngineFailure, GatewayError
from server.gateway import Gateway
from server.openai.events import Batch
from server.responses.output import CompactionCollector, Output, ResponseCollector
from server.responses.places import placed
from server.responses.request import ResponsesRequest
from server.responses.response import Status
from server.responses.seal import Sealer
from server.responses.stream import ResponseStream
from server.responses.translate import Asked
from server.state.records import finished_of
from server.state.writer import ResponseWriter

Done = Callable[[], None]
Keep = Callable[[Status, bytes, Done], None]
"""Keeps a Response object that has ended, in that status; the answer leaves when it calls back."""


class ResponseAnswers(Answers):
    """`sealer` seals the reasoning that leaves; `begin` sends a response on its way."""

    def __init__(self, sealer: Sealer, writer: ResponseWriter, background: Background, begin: Start) -> None:
        self._sealer = sealer
        self._writer = writer
        self._background = background
        self._begin = begin

    def start(
        self, gateway: Gateway, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float
    ) -> None:
        asked: Asked = call.body.asked
        if isinstance(asked.request, ResponsesRequest) and asked.request.background:
            self._background.begin(call, request, BackgroundReply(call, request, more, stall_s))
        else:
            request.attach(self._begin(call, self.of(call, request, more, stall_s, grace_s)))

    def of(
        self, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float
    ) -> ResponseWhole | ResponseStreamed:
        asked: Asked = call.body.asked
        if call.stream:
            stream = ResponseStream(call, asked, self._sealer)
            return ResponseStreamed(call, request, more, stall_s, grace_s, stream, self._keep(call, asked, stream))
        collector = ResponseCollector(call, asked, self._sealer, time)
        return ResponseWhole(call, request, more, stall_s, collector, self._keep(call, asked, collector))

    def line(self, call: Call, ended: Ended) -> LineAnswer:
        """Of a batch: kept as every other, before the line has its result."""
        asked: Asked = call.body.asked
        collector = ResponseCollector(call, asked, self._sealer, time)
        keep = self._keep(call, asked, collector)

        def told(outcome: bytes | GatewayError) -> None:
            if isinstance(outcome, bytes):
                keep(collector.status, outcome, partial(ended, outcome))
            else:
                ended(placed(outcome, call))

        return LineAnswer(call, collector, told)

    def _keep(self, call: Call, asked: Asked, output: Output) -> Keep:
        """For a response that is not to be stored, the answer leaves at once."""
        if not (isinstance(asked.request, ResponsesRequest) and asked.request.stored):
            return leave_at_once

        def keep(status: Status, body: bytes, leave: Done) -> None:
            self._writer.write(finished_of(call, asked, status, body, output.kept), leave)

        return keep


def leave_at_once(status: Status, body: bytes, leave: Done) -> None:
    leave()


class CompactAnswers(Answers):
    """Of POST /v1/responses/compact, whose answers are not kept."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def of(self, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float) -> WholeAnswer:
        collector = CompactionCollector(call, call.body.asked, self._sealer, time)
        return ResponseWhole(call, request, more, stall_s, collector, leave_at_once)


class ResponseWhole(WholeAnswer):
    def __init__(
        self, call: Call, request: Inbound, more: bytes, stall_s: float, collector: ResponseCollector, keep: Keep
    ) -> None:
        super().__init__(call, request, more, stall_s, collector)
        self.output = collector
        self._keep = keep

    def told(self) -> None:
        """All is told at the end."""

    def broken(self, error: GatewayError) -> None:
        """A status of failure would say that it can be tried again."""
        body = self.output.failed(error)
        self._call.status = 200
        self._complete(body)

    def fail(self, error: GatewayError) -> None:
        super().fail(placed(error, self._call))

    def _complete(self, body: bytes) -> None:
        self._keep(self.output.status, body, partial(super()._complete, body))


class ResponseStreamed(StreamAnswer):
    def __init__(
        self,
        call: Call,
        request: Inbound,
        more: bytes,
        stall_s: float,
        grace_s: float,
        stream: ResponseStream,
        keep: Keep,
    ) -> None:
        super().__init__(call, request, more, stall_s, grace_s)
        self.output = stream
        self._keep = keep

    def told(self) -> None:
        self._send(b"".join(self.output.told()))

    def broken(self, error: GatewayError) -> None:
        self.fail(error)

    def end(self) -> None:
        if not self._call.status:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        status, body, events = self.output.end(time())
        self._last_events(status, body, events)

    def fail(self, error: GatewayError) -> None:
        """A stream that has begun ends with the response as far as it came."""
        if self._call.status:
            body, events = self.output.failed(placed(error, self._call))
            self._last_events("failed", body, events)
        else:
            super().fail(placed(error, self._call))

    def _last_events(self, status: Status, body: bytes, events: list[bytes]) -> None:
        """All but the one that ends the stream can leave before it is stored."""
        *first, last = events
        if first:
            self._request.write(b"".join(first))
        self._keep(status, body, partial(self._request.end, last))

    def _wire(self, batch: Batch) -> bytes:
        return b"".join(self.output.batch(batch))
