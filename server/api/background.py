"""Responses that run in the background: the call goes the way of every other, and its client need not stay.

What the limits and the policies refuse at once is refused at once. From then on the response is stored, and what
happens to it is told by its record and its events, on every worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from time import perf_counter, time

import msgspec
from msgspec.structs import replace

from server.api.answer import Answer
from server.api.inbound import Flow, Inbound
from server.api.tool_runs import Start
from server.call import Call
from server.errors import EngineFailure, GatewayError, StoreUnavailable
from server.gateway import Gateway
from server.openai.events import Batch
from server.responses.places import placed
from server.responses.response import response_of
from server.responses.seal import Sealer
from server.responses.stream import ResponseStream, data_of
from server.responses.translate import Asked
from server.state.following import followed
from server.state.records import input_of, record_of, stored
from server.state.run import Run
from server.state.runs import Runs
from server.stores.base import StoreError
from server.stores.responses import ResponseStore

CHECK_S = 5.0  # for limits and policies; what they refuse later has failed
LOOK_S = 0.02  # between two looks at what tells nobody of its change
END = b": end\n\n"  # a comment, as what ends a chunked answer must not be empty
_encode = msgspec.json.encode


class BackgroundAnswer:
    """As `gateway.Answer`: what comes goes to the run. `refused` is what ended the call.

    `known` is set when it is known whether limits and policies let the call pass.
    """

    def __init__(self, call: Call, stream: ResponseStream, run: Run) -> None:
        self.refused: GatewayError | None = None
        self.known = asyncio.Event()
        self._call = call
        self.output = stream
        self._run = run
        self._tell(stream.queued())

    def feed(self, batch: Batch) -> None:
        self._tell(self.output.batch(batch))
        if self._run.waits:
            raise StoreUnavailable("What this response says cannot be stored.")

    def beat(self, now: float) -> None:
        """Nobody waits for a word."""

    def end(self) -> None:
        if not self.output.came:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        status, body, events = self.output.end(time())
        self._call.status = 200
        self._tell(events)
        self._run.end(status, body, stored(self.output.kept))

    def fail(self, error: GatewayError) -> None:
        self._call.status = error.status
        self.refused = placed(error, self._call)
        self.known.set()
        body, events = self.output.failed(error)
        self._tell(events)
        self._run.end("failed", body, stored(self.output.kept))

    def stalled(self, now: float) -> bool:
        return False

    def drop(self) -> None:
        """There is no connection."""

    def told(self) -> None:
        self._tell(self.output.told())

    def broken(self, error: GatewayError) -> None:
        self.fail(error)

    def _tell(self, events: list[bytes]) -> None:
        self._run.add([data_of(one) for one in events])


class Detached:
    """As `inbound.Flow`: what the client does to its connection is nothing to the response."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def leave(self) -> None: ...


class BackgroundReply(Answer):
    """What the client of such a request gets: the response that is queued, or its stream."""

    def whole(self, body: bytes) -> None:
        self._request.answer(200, self._head(None), body)

    async def follow(self, events: AsyncGenerator[bytes]) -> None:
        begun = False
        try:
            async for data in events:
                if not await self._reads():
                    return
                if begun:
                    self._request.write(data)
                else:
                    begun = True
                    self._request.stream(self._head(None), data)
        except (StoreError, TimeoutError):
            if not begun:
                self.fail(StoreUnavailable("The events of this response cannot be read now.", retry_after=1))
        finally:
            await events.aclose()
        self._request.end(END)

    async def _reads(self) -> bool:
        """Wait while the client does not keep up; whether it is still there."""
        while self._request.paused_since is not None and not self._request.response_complete:
            if self.stalled(perf_counter()):
                self.drop()
                return False
            await asyncio.sleep(LOOK_S)
        return not self._request.response_complete


class Background:
    """Begins responses that run in the background. `start` and `stop` are awaited by the app."""

    def __init__(
        self, gateway: Gateway, begin: Start, store: ResponseStore, runs: Runs, sealer: Sealer, grace_s: float
    ) -> None:
        """`begin` sends a response on its way."""
        self._gateway = gateway
        self._begin = begin
        self._store = store
        self._runs = runs
        self._sealer = sealer
        self._grace_s = grace_s
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, call: Call, request: Inbound, reply: BackgroundReply) -> None:
        """The client hears of the response when it is stored."""
        asked: Asked = call.body.asked
        queued = _encode(response_of(call, asked, "queued", []))
        record = replace(record_of(call, asked, "queued", queued), background=True)
        trips: list[Flow] = []

        def stop() -> None:
            for trip in trips:
                trip.leave()

        run = Run(self._store, record, input_of(call, asked), stop, self._runs.lost)
        answer = BackgroundAnswer(call, ResponseStream(call, asked, self._sealer), run)
        trips.append(self._begin(call, answer, answer.known.set))
        request.attach(Detached())
        work = self._open(run, call, answer, reply)
        task = asyncio.get_running_loop().create_task(work, name="open a response")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def start(self) -> None:
        await self._runs.start()

    async def stop(self) -> None:
        """Those that run go on for the grace time of a shutdown, at whose end the gateway ends them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace_s):
                while self._gateway.draining and (self._gateway.trips or self._gateway.runs):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(LOOK_S)
        self._gateway.end_all()
        await asyncio.sleep(0)  # what these calls used is written down in the next round
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runs.stop()

    async def _open(self, run: Run, call: Call, answer: BackgroundAnswer, reply: BackgroundReply) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_S):
                await answer.known.wait()
        if answer.refused is not None:
            reply.fail(answer.refused)
            return
        try:
            await self._runs.begin(run)
        except (StoreError, TimeoutError):
            run.stop()
            reply.fail(StoreUnavailable("The response cannot be stored now. Try again.", retry_after=1))
            return
        record = run.record
        if call.stream:
            await reply.follow(followed(self._store, record.project_id, record.id))
        else:
            reply.whole(record.body)
