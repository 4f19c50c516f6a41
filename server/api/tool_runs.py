"""Responses whose tools the gateway runs: one answer for the client, made of several calls of the engine.

What happens next is decided in responses/rounds.py. Each call of the engine is a trip of its own through the gateway,
with limits, policies, the queue and usage; between two of them the tools' calls are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import msgspec

from server.api.inbound import Flow
from server.call import Call
from server.errors import EngineFailure, GatewayError
from server.gateway import Answer, Gateway, Trip, as_gateway_error
from server.openai.events import Batch
from server.responses.hosted import Outcome
from server.responses.output import Called, Output
from server.responses.places import placed
from server.responses.rounds import TOO_MANY, Plan, Rounds
from server.responses.seal import Sealer
from server.responses.translate import Asked, TranslatedResponse
from server.toolbox.toolbox import Toolbox, Visit

_encode = msgspec.json.encode


class RunAnswer(Answer, Protocol):
    """The answer of the whole response; its `status` is that of its first call."""

    @property
    def output(self) -> Output: ...

    def told(self) -> None:
        """`output` has something to tell that no batch brought."""
        ...

    def broken(self, error: GatewayError) -> None:
        """As `fail`, when tools have run: nobody should do all of it again."""
        ...


Checked = Callable[[], None]


class Start(Protocol):
    """Sends a response on its way; `checked` hears that limits and policies let its request pass."""

    def __call__(self, call: Call, answer: RunAnswer, checked: Checked | None = None) -> Flow: ...


class ToolRuns:
    """Begins them."""

    def __init__(self, gateway: Gateway, toolbox: Toolbox, sealer: Sealer) -> None:
        self.gateway = gateway
        self.toolbox = toolbox
        self.sealer = sealer

    def begin(self, call: Call, answer: RunAnswer, checked: Checked | None = None) -> Flow:
        """Send a response on its way; one without such tools is an ordinary call."""
        asked: Asked = call.body.asked
        if not asked.tools.hosted:
            return self.gateway.start(call, answer, checked)
        run = ToolRun(self, call, answer, checked)
        self.gateway.runs.add(run)
        self.gateway.watchdog.add(run)
        run.begin()
        return run

    def over(self, run: ToolRun) -> None:
        self.gateway.runs.discard(run)
        self.gateway.watchdog.discard(run)


class Round:
    """The answer of one call of the engine, which goes to that of the response."""

    def __init__(self, run: ToolRun, call: Call, answer: RunAnswer) -> None:
        self._run = run
        self._call = call
        self._answer = answer

    def feed(self, batch: Batch) -> None:
        self._run.heard()
        self._answer.feed(batch)

    def beat(self, now: float) -> None:
        self._answer.beat(now)

    def end(self) -> None:
        self._run.round_ended(self._call)

    def fail(self, error: GatewayError) -> None:
        self._run.round_failed(placed(error, self._call))
        self._call.status = self._call.status or error.status

    def stalled(self, now: float) -> bool:
        return self._answer.stalled(now)

    def drop(self) -> None:
        self._answer.drop()
        self._run.leave()


class ToolRun:
    """One response. `inbound.Flow` for its client's connection; it ends once."""

    def __init__(self, runs: ToolRuns, call: Call, answer: RunAnswer, checked: Checked | None) -> None:
        self._runs = runs
        self._checked = checked
        self._first = call
        self._answer = answer
        self._output = answer.output
        self._rounds = Rounds(call.body, call.body.asked, runs.sealer, call.key.project.id, runs.toolbox.max_rounds)
        self._visit: Visit = runs.toolbox.visit()
        self._trip: Trip | None = None
        self._work: asyncio.Task[None] | None = None
        self._held: Mapping[str, Outcome] = {}  # what came of calls, until policies have seen it
        self._number = 1
        self._acted = False  # a tool was called
        self._paused = False
        self._over = False

    def begin(self) -> None:
        if self._first.body.asked.approved:
            self._spawn(self._approved())
        else:
            self._start(self._first)

    # What rounds tell

    def heard(self) -> None:
        """The engine speaks: its request, with what tools said, has passed the policies."""
        if self._held:
            self._settle(self._held, seen=True)
            self._held = {}

    def round_ended(self, call: Call) -> None:
        """Raises `GatewayError` if there was nothing in it."""
        self.heard()
        if not self._output.came:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        plan = self._rounds.ended(self._output)
        call.status = 200
        if self._output.called:
            self._spawn(self._make(plan, looked_at=call.check is not None))
        else:
            self._end()

    def round_failed(self, error: GatewayError) -> None:
        self._trip = None  # it ends by itself
        self.fail(error)

    def fail(self, error: GatewayError) -> None:
        """Tell the client."""
        if self._over:
            return
        trip = self._trip
        self._finish()
        if trip is not None:
            trip.leave()
        if self._acted:
            self._answer.broken(error)
        else:
            self._answer.fail(error)

    # What the client's connection and the watchdog tell

    def pause(self) -> None:
        self._paused = True
        if self._trip is not None:
            self._trip.pause()

    def resume(self) -> None:
        self._paused = False
        if self._trip is not None:
            self._trip.resume()

    def leave(self) -> None:
        """The client has gone: what its response does ends, at the engine and at tools."""
        trip = self._trip
        self._finish()
        if trip is not None:
            trip.leave()

    def tick(self, now: float) -> None:
        """While no trip is under way."""
        if self._work is None:
            return
        if self._answer.stalled(now):
            self._answer.drop()
            self.leave()
        else:
            self._answer.beat(now)

    # Inside

    def _start(self, call: Call) -> None:
        trip = self._trip = self._runs.gateway.start(call, Round(self, call, self._answer), self._checked)
        if self._over:
            self._trip = None
        elif self._paused:
            trip.pause()

    def _next(self, chat: TranslatedResponse) -> None:
        first, tracer = self._first, self._runs.gateway.tracer
        trace = None if first.trace is None else tracer.begin(first.trace.header.encode())
        call = first.again(self._number, chat, len(_encode(chat)), trace)
        chat.asked = self._rounds.asked
        self._number += 1
        self._output.go_on(call)
        self._start(call)

    def _end(self) -> None:
        self._answer.end()
        self._finish()

    # While tools run

    async def _approved(self) -> None:
        """Calls that the client has approved, before the engine is asked. They count as a request."""
        first = self._first
        async with self._runs.gateway.limiter.counted(first.again(0, first.body, 0, None)):
            self._answer.told()
            plan = self._rounds.approved(self._output)
            outcomes = await self._outcomes(plan)
        self._rounds.told(self._output.called, outcomes)
        first.size += sum(len(_encode(one.message.content)) for one in first.body.asked.approved)
        first.goes_on = True
        self._held = outcomes
        self._work = None
        self._start(first)

    async def _make(self, plan: Plan, *, looked_at: bool) -> None:
        """`looked_at`: policies see what tools say before the client does."""
        outcomes = await self._outcomes(plan)
        chat = self._rounds.following(self._output, outcomes) if plan.goes_on else None
        if chat is not None and looked_at:
            self._held = outcomes
        else:
            self._settle(outcomes, seen=False)
            self._answer.told()
        self._work = None
        if chat is not None:
            self._next(chat)
            return
        if plan.goes_on:
            self._output.cut()
        self._end()

    async def _outcomes(self, plan: Plan) -> dict[str, Outcome]:
        """By the ids of their items."""
        self._acted = True
        if self._checked is not None:
            self._checked()
        self._answer.told()
        made = await asyncio.gather(*(self._call(one) for one in plan.make))
        found = dict(zip((one.item["id"] for one in plan.make), made, strict=True))
        return found | {one.item["id"]: TOO_MANY for one in plan.refuse}

    async def _call(self, called: Called) -> Outcome:
        named = called.named
        return await self._visit.call(named.server or "", named.name, called.arguments)

    def _settle(self, outcomes: Mapping[str, Outcome], *, seen: bool) -> None:
        for called in tuple(self._output.called):
            outcome = outcomes[called.item["id"]]
            self._output.settle(called, self._rounds.shown(called, outcome) if seen else outcome)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = asyncio.get_running_loop().create_task(self._guarded(work), name="run tools")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self.fail(as_gateway_error(error, self._first.id, self._first.trace_id))

    def _finish(self) -> None:
        """Nothing more happens to it."""
        self._over = True
        work, self._work, self._trip = self._work, None, None
        if work is not None and work is not asyncio.current_task():
            work.cancel()
        self._visit.end()
        self._runs.over(self)
