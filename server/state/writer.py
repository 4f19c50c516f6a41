"""Writes finished responses to the store, beside the calls that they are of.

The end of an answer waits for its write, so that whoever has the whole answer finds it on every worker; but not for
longer than `WAIT_S`. A store that is down costs nobody his answer, only the answer its place in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

from server.breaker import Breaker
from server.stores.base import StoreError
from server.stores.responses import Item, ResponseRecord, ResponseStore

WRITERS = 4  # at the same time: the store has five connections
MOST_WAITING = 1024
MOST_BYTES = 64 * 1024 * 1024  # of those that wait
WAIT_S = 2.0
WRITE_S = 5.0
FAILURES, PAUSE_S = 3, 2.0  # a store that fails so often in a row is left alone for a while
log = logging.getLogger("portico")
Done = Callable[[], None]


class Finished(NamedTuple):
    """A response that has ended: what `ResponseStore.add_response` takes."""

    record: ResponseRecord
    input: Sequence[Item]
    output: Sequence[Item]

    @property
    def size(self) -> int:
        return len(self.record.body) + sum(len(one.body) for one in (*self.input, *self.output))


class _Write:
    """One write, and who waits for it: `done` is called once, when it is made, has failed or takes too long."""

    __slots__ = ("_done", "_timer", "finished", "size")

    def __init__(self, finished: Finished, done: Done) -> None:
        self.finished = finished
        self.size = finished.size
        self._done: Done | None = done
        self._timer = asyncio.get_running_loop().call_later(WAIT_S, self.over)

    def over(self) -> None:
        self._timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done()


class ResponseWriter:
    """`lost` hears of each response that could not be kept. `start` and `stop` are awaited by the app."""

    def __init__(self, store: ResponseStore, lost: Callable[[], None]) -> None:
        self._store = store
        self._lost = lost
        self._waiting: deque[_Write] = deque()
        self._bytes = 0
        self._writing: set[asyncio.Task[None]] = set()
        self._breaker = Breaker(FAILURES, PAUSE_S)

    def write(self, finished: Finished, done: Done) -> None:
        """Keep it; `done` is called when the answer may leave, always later than now."""
        write = _Write(finished, done)
        if len(self._waiting) >= MOST_WAITING or self._bytes + write.size > MOST_BYTES:
            self._give_up("too many wait")
            asyncio.get_running_loop().call_soon(write.over)
            return
        self._waiting.append(write)
        self._bytes += write.size
        if len(self._writing) < WRITERS:
            task = asyncio.get_running_loop().create_task(self._run(), name="write responses")
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def start(self) -> None:
        """Nothing has to be begun."""

    async def stop(self) -> None:
        """When all that waits is written."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _run(self) -> None:
        """Until nothing waits."""
        while self._waiting:
            write = self._waiting.popleft()
            self._bytes -= write.size
            try:
                await self._keep(write.finished)
            except (StoreError, TimeoutError) as error:
                self._give_up(str(error) or "it took too long")
            except Exception:  # a bug must not keep the others from being written
                self._lost()
                log.exception("a response was not stored")
            write.over()

    async def _keep(self, finished: Finished) -> None:
        ticket = self._breaker.enter(perf_counter())
        if ticket is None:
            raise TimeoutError("the store is down")
        well = False
        try:
            async with asyncio.timeout(WRITE_S):
                await self._store.add_response(*finished)
            well = True
        finally:
            self._breaker.leave(ticket, well, perf_counter())

    def _give_up(self, reason: str) -> None:
        self._lost()
        log.error("a response was not stored: %s", reason)
