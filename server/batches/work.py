"""The lines of a batch, from its input through flight to their results."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from time import perf_counter

from server.batches.flight import Ended, Flight, Waiting
from server.batches.hold import Hold
from server.batches.lines import Numbered
from server.batches.outputs import Outputs
from server.batches.patience import Patience, wait_s
from server.batches.results import Result, answered, never_sent, refused
from server.batches.tools import Tools
from server.batches.validation import line_of
from server.errors import GatewayError
from server.openai.batch_request import BatchLine

EXPIRED = ("batch_expired", "This request could not be executed before the completion window expired.")
IN_A_ROW = 20  # lines that are looked at before the rest of the server has its turn


class Lines:
    """The lines of an input, through flight to their results."""

    def __init__(
        self, tools: Tools, hold: Hold, flight: Flight, outputs: Outputs, lines: AsyncIterator[Numbered]
    ) -> None:
        self._tools = tools
        self._batch_id = hold.record.id
        self._endpoint = hold.record.endpoint
        self._flight = flight
        self._outputs = outputs
        self._lines = lines
        self._waiting = deque[Waiting]()  # were in flight, or found no room
        self._results: list[Result] = []
        self._patience = Patience()
        self._at_end = False
        self._starved = False
        self.moved = perf_counter()  # a line was started, or has ended

    @property
    def idle(self) -> bool:
        """Nothing is in flight, and nothing is to be written."""
        return not self._flight and not self._results and not self._flight.changed.is_set()

    @property
    def done(self) -> bool:
        return self._at_end and not self._waiting

    async def start(self, peers: int) -> None:
        """As many as there is room for, beside so many batches; none for 0, or while something is to be written."""
        self._starved = peers > 0
        while peers and self._patience.allows(perf_counter()):
            if self._flight.changed.is_set():  # first what has ended gets its result: a kill costs what is in flight
                return
            if not self._waiting and not await self._read():
                self._starved = False
                return
            if not self._waiting:
                continue
            waiting = self._waiting[0]
            try:
                call = waiting.call = waiting.call or await self._flight.call(waiting.line)
            except GatewayError as error:
                if self._is_patient(waiting, error):
                    return
                self._waiting.popleft()
                self._result(waiting, "", error)
                continue
            if not self._tools.room.free(self._batch_id, call.model.id, peers):
                return
            self._waiting.popleft()
            self.moved = perf_counter()
            self._flight.start(waiting, call)
            await asyncio.sleep(0)  # people first

    async def wait(self) -> None:
        """Until a line has ended, or it is time to look again."""
        if self._results:
            return
        pace = self._tools.pace
        try:
            async with asyncio.timeout(pace.room if self._starved else pace.beat):
                await self._flight.changed.wait()
        except TimeoutError:
            pass

    async def write(self) -> None:
        """What has ended has its results, or waits for another try. Raises `StorageFull`, `StoreDown`."""
        for ended in self._flight.take_ended():
            self._take(ended)
        results, self._results = self._results, []
        if results:
            await self._outputs.append(results)
            for one in results:
                self._tools.counted.line("completed" if one.kind == "output" else "failed")

    async def expire(self) -> None:
        """What has no result will have none."""
        rest = [*self._flight.leave(), *self._waiting]
        self._waiting.clear()
        await self.write()
        for waiting in (*rest, *self._waiting):
            self._result_of_expired(waiting.number, waiting.line)
        self._waiting.clear()
        while await self._read():
            for waiting in self._waiting:
                self._result_of_expired(waiting.number, waiting.line)
            self._waiting.clear()
            if len(self._results) >= IN_A_ROW:
                await self.write()
        await self.write()

    def _result_of_expired(self, number: int, line: BatchLine) -> None:
        self._results.append(never_sent(self._batch_id, number, line.custom_id, *EXPIRED))

    async def _read(self) -> bool:
        """One more line waits, unless it has a result; False at the end of the input."""
        if self._at_end:
            return False
        following = await anext(self._lines, None)
        if following is None:
            self._at_end = True
            return False
        number, text = following
        if number in self._outputs.progress.numbers:
            if number % IN_A_ROW == 0:
                await asyncio.sleep(0)
            return True
        try:
            self._waiting.append(Waiting(number, line_of(text, self._endpoint)))
        except GatewayError as error:  # it was in order once: the configuration has changed
            self._results.append(never_sent(self._batch_id, number, "", error.code or "invalid_request", error.message))
        return True

    def _take(self, ended: Ended) -> None:
        waiting, outcome = ended.waiting, ended.outcome
        if isinstance(outcome, bytes):
            self._patience.answered()
            self._results.append(
                answered(self._batch_id, waiting.number, waiting.line.custom_id, ended.request_id, outcome)
            )
            return
        if self._is_patient(waiting, outcome):
            waiting.call = None
            self._waiting.append(waiting)
        else:
            self._patience.answered()
            self._result(waiting, ended.request_id, outcome)

    def _is_patient(self, waiting: Waiting, error: GatewayError) -> bool:
        """Whether the line is tried again; nothing starts until then."""
        wait = wait_s(error, waiting.tries)
        if wait is None:
            return False
        self._patience.refused(perf_counter(), wait)
        self._tools.counted.line("retried")
        return True

    def _result(self, waiting: Waiting, request_id: str, error: GatewayError) -> None:
        self._results.append(refused(self._batch_id, waiting.number, waiting.line.custom_id, request_id, error))
