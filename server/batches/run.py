"""One batch, from whatever state it was left in to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from time import perf_counter

from server.batches.flight import Flight
from server.batches.hold import Hold
from server.batches.lines import Numbered, lines_of
from server.batches.publish import publish
from server.batches.states import finalizing, progressed, refused, validated
from server.batches.tools import Tools
from server.batches.validation import Validation
from server.batches.work import Lines
from server.errors import InvalidApiKey
from server.stores.base import NotThere, StoreDown
from server.stores.batches import BatchRecord, Ending, LineError

AT_ONCE = 16_384  # bytes of lines that are checked, about a millisecond, before the rest of the server has its turn
REST_S = 0.001
GONE = LineError("input_file_not_found", "The input file was deleted, or its time is over.")


class Run:
    """`work` it once. `peers`: how many batches this worker has; `crowded`: and whether it takes no more."""

    def __init__(self, tools: Tools, hold: Hold) -> None:
        self._tools = tools
        self._hold = hold
        self._outputs = tools.outputs(hold.record.id)
        self._flight: Flight | None = None
        self._leaving = False
        self._began = perf_counter()
        self.peers = 1
        self.crowded = False

    def leave(self) -> None:
        """Start no more lines; those in flight may end, then `work` does."""
        self._leaving = True
        self.heard()

    def break_off(self) -> None:
        """Wait for none of them."""
        if self._flight is not None:
            self._flight.leave()
        self.heard()

    def heard(self) -> None:
        """There may be something to do."""
        if self._flight is not None:
            self._flight.changed.set()

    def note(self, record: BatchRecord) -> BatchRecord:
        """How far it is, for the beat."""
        progress = self._outputs.progress
        return progressed(record, progress.of(record.counts.total), progress.tokens)

    async def work(self) -> None:
        """Raises `Lost`, `StorageFull`, `StoreDown`, `StoreUnavailable`: it is to be tried again later."""
        ending: Ending = "completed"
        faults: tuple[LineError, ...] = ()
        try:
            await self._outputs.open()
            try:
                await self._hold.look_at_key()
                if self._hold.record.status == "validating":
                    await self._validate()
                if self._hold.record.status == "in_progress":
                    ending = await self._lines()
            except InvalidApiKey as error:
                self._hold.fault = LineError(error.code or "invalid_api_key", error.message)
            except NotThere:
                self._hold.fault = GONE
            if self._hold.fault is not None:
                ending, faults = "failed", (self._hold.fault,)
            if self._hold.record.open and not self._leaving:
                now = int(self._tools.clock())
                await self._hold.change(lambda record: finalizing(self.note(record), ending, faults, now))
                await publish(self._tools, self._hold, self._outputs)
            elif self._leaving:
                await self._hold.change(self.note, release=True)
            else:  # its input was refused
                await self._outputs.remove()
        finally:
            self._outputs.close()

    async def _validate(self) -> None:
        tools, record = self._tools, self._hold.record
        kind, looked_at = tools.kinds[record.endpoint], 0
        check = Validation(record.endpoint, tools.settings.max_lines, kind, self._hold.key)
        async with self._input() as lines:
            async for number, text in lines:
                await check.check(number, text)
                if check.hopeless or self._leaving or self._hold.record.status != "validating":
                    break
                looked_at += len(text or b"")
                if looked_at > AT_ONCE:
                    looked_at = 0
                    await asyncio.sleep(REST_S)
        if self._leaving:
            return
        check.finish()
        now, errors = int(tools.clock()), tuple(check.errors)
        if errors:
            await self._hold.change(lambda record: refused(record, errors, now))
        else:
            await self._hold.change(lambda record: validated(record, check.total, check.model, now))

    @asynccontextmanager
    async def _input(self) -> AsyncGenerator[AsyncIterator[Numbered]]:
        """Raises `NotThere`, `StoreDown`."""
        record = self._hold.record
        await self._tools.store.file(record.project_id, record.input_file_id)
        async with AsyncExitStack() as stack:
            try:
                reader = await stack.enter_async_context(self._tools.contents.reading(record.input_file_id))
            except NotThere:  # its record is: another machine may have it
                raise StoreDown("the content of its input is not where this process looks for contents") from None
            yield await stack.enter_async_context(aclosing(lines_of(reader, self._tools.longest_line)))

    async def _lines(self) -> Ending:
        """How it ends, unless it is left or its key is at fault. Raises `NotThere`."""
        kind = self._tools.kinds[self._hold.record.endpoint]
        self._flight = Flight(self._tools, self._hold, kind)
        try:
            async with self._input() as lines:
                loop = Lines(self._tools, self._hold, self._flight, self._outputs, lines)
                while not self._over(loop):
                    self._leaving = self._leaving or self._had_its_turn(loop)
                    await loop.start(0 if self._leaving else self.peers)
                    await loop.wait()
                    await loop.write()
                await loop.write()
                if self._hold.record.status == "in_progress" and self._expired() and not loop.done:
                    await loop.expire()
                    return "expired"
            return "completed"
        finally:
            self._flight.leave()

    def _over(self, loop: Lines) -> bool:
        if self._hold.record.status != "in_progress" or self._hold.fault is not None or self._expired():
            return True
        return loop.idle and (self._leaving or loop.done)

    def _had_its_turn(self, loop: Lines) -> bool:
        """Others may wait for its place, and it has had that for long, or can make nothing of it."""
        pace, now = self._tools.pace, perf_counter()
        return self.crowded and (now - self._began > pace.turn or (loop.idle and now - loop.moved > pace.stuck))

    def _expired(self) -> bool:
        return self._tools.clock() >= self._hold.record.expires_at
