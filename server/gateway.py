"""THE PIPELINE. One call's trip through Portico, on one screen.

Everything here runs in callbacks of the event loop: the relay (api/) starts a trip, the engine's connection pushes what
it reads through it, and the client's connection takes it. Nothing waits in a task: a chunk is on its way to the client
before the read that brought it returns, and whatever ends a call ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Protocol

from server.admission.admission import Admission, Slot
from server.answers.annotated import annotated
from server.answers.moderated import edited
from server.answers.stage import NewStage, Stage
from server.call import Call
from server.engines.engine import Engine
from server.engines.exchange import Exchange
from server.errors import GatewayError, ShuttingDown
from server.limits.limiter import Hold, Limiter
from server.metering import Meter
from server.moderation.judged import JudgedAnswer
from server.moderation.moderator import Check, Moderator
from server.openai.events import Batch
from server.openai.reader import View
from server.telemetry.metrics import Metrics
from server.telemetry.request_log import RequestLog
from server.telemetry.tracing import Tracer
from server.usage.usage_log import UsageLog
from server.watchdog import Watchdog

ENGINE_PATHS: Mapping[str, str] = {
    "chat.completions": "/chat/completions",
    "completions": "/completions",
    "messages": "/chat/completions",
    "responses": "/chat/completions",
    "embeddings": "/embeddings",
    "rerank": "/rerank",
}
log = logging.getLogger("portico")


class Answer(Protocol):
    """How a call's events reach the client (api/answer.py)."""

    def feed(self, batch: Batch) -> None:
        """Never empty."""
        ...

    def beat(self, now: float) -> None:
        """An engine is at work: if the client has heard nothing for long, tell it."""
        ...

    def end(self) -> None:
        """The answer is complete. Raises `GatewayError` if there was nothing in it."""
        ...

    def fail(self, error: GatewayError) -> None: ...

    def stalled(self, now: float) -> bool:
        """The client has not read for too long."""
        ...

    def drop(self) -> None:
        """Close the client's connection."""
        ...


class Run(Protocol):
    """An answer that takes several trips, one after the other."""

    def fail(self, error: GatewayError) -> None: ...


class Gateway:
    def __init__(
        self,
        admission: Admission[Engine],
        stages: Sequence[NewStage],
        limiter: Limiter,
        moderator: Moderator,
        usage: UsageLog,
        watchdog: Watchdog,
        metrics: Metrics,
        log: RequestLog,
        tracer: Tracer,
    ) -> None:
        self.admission = admission
        self.limiter = limiter
        self.moderator = moderator
        self.usage = usage
        self.watchdog = watchdog
        self.metrics = metrics
        self._stages = stages
        self._log = log
        self.tracer = tracer
        self.draining = False
        self.closed = False  # the grace time of that is over
        self.trips: set[Trip] = set()
        self.runs: set[Run] = set()
        self._views: dict[tuple[str, str, bool, bool], View] = {}
        self._ended: list[Call] = []  # in this round

    def start(self, call: Call, answer: Answer, checked: Callable[[], None] | None = None) -> Trip:
        """Send a call on its way; all else happens to the trip and to `answer`.

        `checked` hears that limits and policies let its request pass.
        """
        trip = Trip(self, call, answer, checked)
        self.trips.add(trip)
        self.watchdog.add(trip)
        self.metrics.began(call)
        trip.start()
        return trip

    def stages(self, call: Call) -> list[Stage]:
        if not call.generates:
            return []
        return [stage for new_stage in self._stages if (stage := new_stage(call)) is not None]

    def view(self, call: Call) -> View:
        """How the client of a call sees its answer. A response keeps the reasoning, seen or not, for its next turn."""
        shown = call.reasoning_shown or call.endpoint == "responses"
        key = (call.model.id, call.endpoint, shown, call.include_usage)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = View(call.model.id, reasoning=shown, chat=call.chats, usage=call.include_usage)
        return view

    def finish(self, trip: Trip, call: Call) -> None:
        """The last thing done for a call, however it ended: within the round it is counted and has its line."""
        call.finished = perf_counter()
        self.trips.discard(trip)
        self.watchdog.discard(trip)
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._write_down)
        self._ended.append(call)

    def _write_down(self) -> None:
        """For all calls that ended in one round of the event loop: one sort of record after the other is cheaper."""
        ended, self._ended = self._ended, []
        for call in ended:
            self.usage.finished(call)
        for call in ended:
            self.metrics.finished(call)
        for call in ended:
            self._log.finished(call)
        for call in ended:
            if call.trace is not None:
                self.tracer.finished(call)

    def drain(self) -> None:
        """Take no more calls."""
        self.draining = True

    def end_all(self) -> None:
        """The grace time is over: end what is still open with an error that the client sees."""
        self.closed = True
        for one in (*self.trips, *self.runs):
            one.fail(ShuttingDown("The server is shutting down and could not finish this answer. Try again."))


class Trip:
    """One call, from its request to its end. It ends once; what it held is given back then."""

    __slots__ = (
        "_annotated", "_answer", "_call", "_check", "_checked", "_exchange", "_gateway", "_hold", "_judged", "_meter",
        "_over", "_paused", "_slot", "_stages",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, call: Call, answer: Answer, checked: Callable[[], None] | None) -> None:
        self._gateway = gateway
        self._call = call
        self._answer = answer
        self._checked = checked
        self._hold: Hold | None = None
        self._check: Check | None = None
        self._slot: Slot[Engine] | None = None
        self._exchange: Exchange | None = None
        self._meter = Meter(call, gateway.metrics)
        self._stages: list[Stage] = []
        self._judged: JudgedAnswer | None = None
        self._annotated: Stage | None = None  # what comes when nothing changes the answer any more
        self._over = False
        self._paused = False

    # From the request to the engine

    def start(self) -> None:
        try:
            if self._gateway.draining and (self._gateway.closed or not self._call.goes_on):
                raise ShuttingDown("The server is shutting down. Try again.", retry_after=1)
            hold = self._hold = self._gateway.limiter.hold(self._call)
            if hold is None or hold.request(self._inspect, self.fail):
                self._inspect()
        except Exception as error:
            self.fail(error)

    def _inspect(self) -> None:
        try:
            check = self._check = self._call.check = self._gateway.moderator.check(self._call)
            if check is None or check.request(self._admit, self.fail):
                self._admit()
        except Exception as error:
            self.fail(error)

    def _admit(self) -> None:
        try:
            if self._checked is not None:
                self._checked()
            slot = self._slot = self._gateway.admission.slot(self._call)
            if slot.request(self._dispatch, self.fail):
                self._dispatch()
        except Exception as error:
            self.fail(error)

    def _dispatch(self) -> None:
        call, slot = self._call, self._slot
        if slot is None:
            return
        try:
            self._stages = self._gateway.stages(call)
            if self._check is not None and call.generates:
                self._judged = self._check.answer(edited, self._leaves, self.fail)
            self._annotated = annotated(call)
            self._exchange = Exchange(call, slot, self._gateway.view(call), ENGINE_PATHS[call.endpoint], self)
            if self._paused:
                self._exchange.pause()
            self._exchange.begin()
            if not self._over:  # the engine works already while this is noted
                self._gateway.usage.began(call)
        except Exception as error:
            self.fail(error)

    # From the engine to the client

    def batch(self, batch: Batch) -> None:
        """What one read from the engine brought. One loop over all stages: layers would cost every chunk."""
        try:
            self._meter.feed(batch)
            ended = False
            for stage in self._stages:
                batch = stage.feed(batch)
                ended = ended or stage.ended
                if not batch:
                    break
            if self._judged is not None:
                self._leaves(self._judged.feed(batch))
            elif batch:
                self._send(batch)
            if ended:
                self.done()
        except Exception as error:
            self.fail(error)

    def _leaves(self, batch: Batch) -> None:
        """What judges let go, as it comes or later."""
        try:
            if batch:
                self._send(batch)
            self._flow()
            if self._judged is not None and self._judged.over:
                self.done()
        except Exception as error:
            self.fail(error)

    def _send(self, batch: Batch) -> None:
        self._answer.feed(batch if self._annotated is None else self._annotated.feed(batch))

    def done(self) -> None:
        """Nothing more comes."""
        if self._over:
            return
        judged = self._judged
        try:
            if judged is not None:
                rest = judged.finish()
                if rest:
                    self._send(rest)
                if not judged.over:
                    self._leave_engine()
                    return
            self._answer.end()
        except Exception as error:
            self.fail(error)
            return
        self._finish()

    # Other ways to end

    def fail(self, error: Exception) -> None:
        """Tell the client."""
        if self._over:
            return
        known = as_gateway_error(error, self._call.id, self._call.trace_id)
        self._call.outcome = known.outcome
        try:
            self._answer.fail(known)
        finally:
            self._finish()

    def leave(self) -> None:
        """The client has gone."""
        if not self._over:
            self._call.status = self._call.status or 499
            self._call.outcome = "client_gone"
            self._finish()

    def _finish(self) -> None:
        self._over = True
        self._leave_engine()
        if self._hold is not None:
            self._hold.settle()
            self._hold = None
        if self._check is not None:
            self._check.close()
            self._check = self._call.check = self._judged = None
        self._gateway.finish(self, self._call)

    def _leave_engine(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None
            if self._call.engine_done is None:
                self._call.engine_done = perf_counter()
        if self._slot is not None:
            self._slot.release()
            self._slot = None

    # Flow and time

    def pause(self) -> None:
        """The client does not keep up."""
        self._paused = True
        self._flow()

    def resume(self) -> None:
        self._paused = False
        self._flow()

    def _flow(self) -> None:
        """The engine is read as fast as the client reads and the judges judge."""
        if self._exchange is None:
            return
        if self._paused or (self._judged is not None and self._judged.crowded):
            self._exchange.pause()
        else:
            self._exchange.resume()

    def tick(self, now: float) -> None:
        """Called by the watchdog."""
        try:
            if self._answer.stalled(now):
                self._answer.drop()
                self.leave()
                return
            if self._slot is not None:
                self._slot.check(now)
            judging = self._judged is not None and self._exchange is None  # the engine is done, the judges are not
            if judging or (self._exchange is not None and self._exchange.sent):
                self._answer.beat(now)
            if self._exchange is not None and self._exchange.sent:
                self._exchange.tick(now)
        except GatewayError as error:
            self.fail(error)


def as_gateway_error(error: Exception, request_id: str, trace_id: str | None = None) -> GatewayError:
    """Anything but a `GatewayError` is a bug of ours: logged under the request's id, and the client gets no detail."""
    if isinstance(error, GatewayError):
        return error
    log.error("a bug in the gateway", exc_info=error, extra={"request_id": request_id, "trace_id": trace_id})
    return GatewayError("The server had an error. It was logged under this request id.")
