"""THE PIPELINE. One call's trip through Portico, on one screen.

The relay (api/) opens a call here and sends what comes out; everything that is held is given back when it leaves the
`async with`, however it leaves.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from server.admission.admission import Admission
from server.answers.stage import NewStage, Stage
from server.call import Call
from server.engines.engine import Engine
from server.engines.stream import EngineStream
from server.errors import ShuttingDown
from server.metering import Meter
from server.openai.events import Batch
from server.openai.reader import View
from server.telemetry.metrics import Metrics
from server.telemetry.request_log import RequestLog

Check = Callable[[Call], Awaitable[None]]
ENGINE_PATHS: Mapping[str, str] = {"chat.completions": "/chat/completions", "completions": "/completions"}


class Gateway:
    def __init__(
        self,
        admission: Admission[Engine],
        checks: Sequence[Check],
        stages: Sequence[NewStage],
        metrics: Metrics,
        log: RequestLog,
    ) -> None:
        self._admission = admission
        self._checks = checks
        self._stages = stages
        self._metrics = metrics
        self._log = log
        self._draining = False
        self.calls: set[Call] = set()

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncGenerator[AsyncIterator[Batch]]:
        """Batches of events for the client. Raises `GatewayError`, before or amid the answer."""
        if self._draining:
            raise ShuttingDown("The server is shutting down. Try again.", retry_after=1)
        for check in self._checks:
            await check(call)
        async with (
            self._admission.slot(call) as slot,
            EngineStream(call, slot, view_of(call), ENGINE_PATHS[call.endpoint]) as produced,
        ):
            stages = [stage for new_stage in self._stages if (stage := new_stage(call)) is not None]
            yield through(produced, Meter(call, self._metrics), stages)

    def begin(self, call: Call) -> None:
        self.calls.add(call)
        self._metrics.began(call)

    def finish(self, call: Call) -> None:
        """The last thing done for a call, however it ended: count it and write its line."""
        call.finished = perf_counter()
        self.calls.discard(call)
        self._metrics.finished(call)
        self._log.finished(call)

    def drain(self) -> None:
        """Take no more calls."""
        self._draining = True

    def end_all(self) -> None:
        """The grace time is over: end what is still open with an error that the client sees."""
        for call in tuple(self.calls):
            call.abort(ShuttingDown("The server is shutting down and could not finish this answer. Try again."))


async def through(produced: AsyncIterator[Batch], meter: Meter, stages: Sequence[Stage]) -> AsyncIterator[Batch]:
    """What the client gets of what the engine produced. Heartbeats pass; batches of which nothing is left do not.

    One loop over all stages, and not a chain of generators: every layer would cost each chunk of each stream.
    """
    async for batch in produced:
        if not batch:
            yield batch
            continue
        meter.feed(batch)
        ended = False
        for stage in stages:
            batch = stage.feed(batch)  # noqa: PLW2901
            ended = ended or stage.ended
            if not batch:
                break
        if batch:
            yield batch
        if ended:
            return


def view_of(call: Call) -> View:
    return View(
        model=call.model.id, reasoning=call.model.config.reasoning == "shown", chat=call.endpoint == "chat.completions"
    )
