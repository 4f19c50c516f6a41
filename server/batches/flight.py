"""The lines of a batch that are in flight, and what came of those that are not any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from server.batches.hold import Hold
from server.batches.tools import Flow, LineKind, Tools
from server.batches.validation import call_of
from server.call import Call
from server.errors import GatewayError
from server.openai.batch_request import BatchLine


@dataclass(eq=False)
class Waiting:
    """A line on its way to its result."""

    number: int
    line: BatchLine
    tries: int = 0
    call: Call | None = None  # made, and not started yet


@dataclass(frozen=True)
class Ended:
    waiting: Waiting
    request_id: str
    outcome: bytes | GatewayError


class Flight:
    """`changed` is set when a line has ended."""

    def __init__(self, tools: Tools, hold: Hold, kind: LineKind) -> None:
        self.changed = asyncio.Event()
        self._tools = tools
        self._hold = hold
        self._batch_id = hold.record.id
        self._kind = kind
        self._open: dict[Waiting, Flow | None] = {}
        self._ended: list[Ended] = []

    def __len__(self) -> int:
        return len(self._open)

    async def call(self, line: BatchLine) -> Call:
        """Raises `GatewayError`."""
        call = await call_of(line, self._kind, self._hold.key, self._tools.new_id())
        call.priority = "batch"
        return call

    def start(self, waiting: Waiting, call: Call) -> None:
        waiting.call = None
        waiting.tries += 1
        call.received = perf_counter()
        call.client_request_id = f"{self._batch_id}:{waiting.number}"
        self._open[waiting] = None
        self._tools.room.enter(self._batch_id, call)
        flow = self._tools.start(call, self._kind.answer(call, partial(self._end, waiting, call)))
        if waiting in self._open:
            self._open[waiting] = flow
            waiting.call = call

    def take_ended(self) -> list[Ended]:
        ended, self._ended = self._ended, []
        self.changed.clear()
        return ended

    def leave(self) -> list[Waiting]:
        """Break off all; those that were."""
        left, self._open = self._open, {}
        for waiting, flow in left.items():
            if flow is not None:
                flow.leave()
            if waiting.call is not None:
                self._tools.room.leave(waiting.call)
        return list(left)

    def _end(self, waiting: Waiting, call: Call, outcome: bytes | GatewayError) -> None:
        if waiting not in self._open:  # it was left while its answer was being stored
            return
        del self._open[waiting]
        self._tools.room.leave(call)
        self._ended.append(Ended(waiting, call.id, outcome))
        self.changed.set()
