"""POST /v1/responses: OpenAI's newer shape, and the way of a chat completion.

The answer of a stored response waits at its end for the write (state/writer.py): by then its call is over, and nothing
is held for it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import time
from typing import TypeVar

from server.api.answer import Answers, StreamAnswer, WholeAnswer
from server.api.background import Background, BackgroundReply
from server.api.calls import CallFactory
from server.api.inbound import Inbound
from server.api.relay import Made
from server.api.tool_runs import ToolRuns
from server.call import Call, Key
from server.errors import ContextLengthExceeded, EngineFailure, GatewayError
from server.gateway import Gateway
from server.openai.events import Batch
from server.responses.hosted import NO_OFFERS, Offers
from server.responses.output import Output, ResponseCollector
from server.responses.places import placed
from server.responses.request import ResponsesRequest
from server.responses.response import Status
from server.responses.seal import Sealer
from server.responses.stream import ResponseStream
from server.responses.translate import Asked, Past
from server.state.past import PastFinder
from server.state.records import finished_of
from server.state.writer import ResponseWriter
from server.toolbox.toolbox import Toolbox

Found = TypeVar("Found")
Done = Callable[[], None]
Keep = Callable[[Status, bytes, Done], None]
"""Keeps a Response object that has ended, in that status; the answer leaves when it calls back."""


class ResponseCalls:
    """Makes calls. What a request goes on from is looked up beside, and comes by a callback."""

    def __init__(self, factory: CallFactory, past: PastFinder, toolbox: Toolbox | None, max_bytes: int) -> None:
        self._factory = factory
        self._past = past
        self._toolbox = toolbox
        self._max_bytes = max_bytes

    def new(self, body: bytes, key: Key, request_id: str, made: Made) -> Call | None:
        """As `api.relay.NewCall`."""
        asked = self._factory.asked_response(body, key)
        told = partial(self._found, asked, len(body), key, request_id, made)
        past = self._past.find(key.project.id, asked, told)
        return None if past is None else self._with_tools(asked, len(body), key, request_id, made, past)

    def _found(
        self, asked: ResponsesRequest, size: int, key: Key, request_id: str, made: Made, past: Past | Exception
    ) -> None:
        hand_over(made, lambda: self._with_tools(asked, size, key, request_id, made, known(past)))

    def _with_tools(
        self, asked: ResponsesRequest, size: int, key: Key, request_id: str, made: Made, past: Past
    ) -> Call | None:
        """None where tool servers have to say first what they offer."""
        if self._toolbox is None:
            return self._call(asked, size, key, request_id, past, NO_OFFERS)

        def told(offers: Offers | Exception) -> None:
            hand_over(made, lambda: self._call(asked, size, key, request_id, past, known(offers)))

        offers = self._toolbox.find(key.project.id, asked.tools, told)
        return None if offers is None else self._call(asked, size, key, request_id, past, offers)

    def _call(self, asked: ResponsesRequest, size: int, key: Key, request_id: str, past: Past, offers: Offers) -> Call:
        call = self._factory.response(asked, past, size, key, request_id, offers)
        if past.items and call.size > self._max_bytes:
            raise ContextLengthExceeded(
                f"The conversation has become larger than {self._max_bytes} bytes. Begin a new one.", param=past.where
            )
        return call


def hand_over(made: Made, make: Callable[[], Call | None]) -> None:
    """What `make` gives or raises; of None another will tell."""
    try:
        call = make()
    except Exception as error:
        made(error)
    else:
        if call is not None:
            made(call)


def known(found: Found | Exception) -> Found:
    """What was looked up, or raised as it was there."""
    if isinstance(found, Exception):
        raise found
    return found


class ResponseAnswers(Answers):
    """`sealer` seals the reasoning that leaves."""

    def __init__(self, sealer: Sealer, writer: ResponseWriter, background: Background, tools: ToolRuns | None) -> None:
        self._sealer = sealer
        self._writer = writer
        self._background = background
        self._tools = tools

    def start(
        self, gateway: Gateway, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float
    ) -> None:
        asked: Asked = call.body.asked
        if isinstance(asked.request, ResponsesRequest) and asked.request.background:
            self._background.begin(call, request, BackgroundReply(call, request, more, stall_s))
        elif self._tools is not None and asked.tools.hosted:
            request.attach(self._tools.begin(call, self.of(call, request, more, stall_s, grace_s)))
        else:
            super().start(gateway, call, request, more, stall_s, grace_s)

    def of(
        self, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float
    ) -> ResponseWhole | ResponseStreamed:
        asked: Asked = call.body.asked
        if call.stream:
            stream = ResponseStream(call, asked, self._sealer)
            return ResponseStreamed(call, request, more, stall_s, grace_s, stream, self._keep(call, asked, stream))
        collector = ResponseCollector(call, asked, self._sealer)
        return ResponseWhole(call, request, more, stall_s, collector, self._keep(call, asked, collector))

    def _keep(self, call: Call, asked: Asked, output: Output) -> Keep:
        """For a response that is not to be stored, the answer leaves at once."""
        if not (isinstance(asked.request, ResponsesRequest) and asked.request.stored):
            return leave_at_once

        def keep(status: Status, body: bytes, leave: Done) -> None:
            self._writer.write(finished_of(call, asked, status, body, output.kept), leave)

        return keep


def leave_at_once(status: Status, body: bytes, leave: Done) -> None:
    leave()


class ResponseWhole(WholeAnswer):
    def __init__(
        self, call: Call, request: Inbound, more: bytes, stall_s: float, collector: ResponseCollector, keep: Keep
    ) -> None:
        super().__init__(call, request, more, stall_s)
        self.output = collector
        self._keep = keep

    def feed(self, batch: Batch) -> None:
        for event in batch:
            self.output.feed(event)

    def told(self) -> None:
        """All is told at the end."""

    def broken(self, error: GatewayError) -> None:
        """A status of failure would say that it can be tried again."""
        body = self.output.failed(error)
        self._call.status = 200
        self._keep("failed", body, partial(self._leave, body))

    def end(self) -> None:
        told = self.output.body(time())
        if told is None:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        status, body = told
        self._call.status = 200
        self._keep(status, body, partial(self._leave, body))

    def fail(self, error: GatewayError) -> None:
        super().fail(placed(error, self._call))

    def _leave(self, body: bytes) -> None:
        self._request.answer(200, self._head(self._call.used()), body)


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
