"""From the spool to the ledger: a background task that sends what waits, and tries again while the ledger is down."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol

from server.backoff import doubled
from server.stores.base import Ledger, StoreDown
from server.stores.records import UsageRecord
from server.usage.leftover import Leftover, leftovers
from server.usage.spool import Batch, Spool

BATCH = 1000  # records in one transaction
log = logging.getLogger("portico")


class Source(Protocol):
    """Where records come from, at least once each."""

    def batch(self, limit: int) -> Batch: ...

    def delivered(self, batch: Batch) -> None: ...


@dataclass(frozen=True)
class Pace:
    """All in seconds."""

    interval: float = 1.0  # between two looks at the spool
    longest_wait: float = 15.0  # between two attempts while the ledger is down
    send_timeout: float = 10.0
    search: float = 30.0  # between two looks for what others left
    flush: float = 5.0  # what stopping waits for the ledger

    def wait(self, failures: int) -> float:
        """Until the next attempt, after so many that failed one after the other."""
        return doubled(self.interval, failures, self.longest_wait)


class Delivery:
    """`run` until cancelled, or until `finish` has let it send what is left. `lost` as of `Spool`."""

    def __init__(self, ledger: Ledger, spool: Spool, folder: Path, lost: Callable[[int], None], pace: Pace) -> None:
        self._ledger = ledger
        self._spool = spool
        self._folder = folder
        self._lost = lost
        self._pace = pace
        self._leftovers: list[Leftover] = []
        self._searched = -math.inf
        self._limit = BATCH
        self._failures = 0
        self._finishing = False
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Do not wait for the next second; while the ledger is down there is nothing to hurry for."""
        if not self._failures:
            self._wake.set()

    def finish(self) -> None:
        """Let `run` end once this worker's own records are delivered, or cannot be."""
        self._finishing = True
        self._wake.set()

    @property
    def waiting(self) -> int:
        """Records of others that were taken over."""
        return sum(leftover.waiting for leftover in self._leftovers)

    async def run(self) -> None:
        while True:
            more = await self._round()
            if self._finishing and not more:
                return
            if not more:
                await self._pause()

    def leave(self) -> None:
        """Give back what was taken over. Raises `OSError`."""
        for leftover in self._leftovers:
            leftover.leave()
        self._leftovers.clear()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._pace.wait(self._failures)):
                await self._wake.wait()
        except TimeoutError:
            pass
        if not self._finishing:
            self._wake.clear()

    async def _round(self) -> bool:
        """A batch of each source; whether there is more to send at once. Never raises."""
        try:
            self._spool.retry()
            more = await self._send(self._spool)
            if not self._finishing and not self._failures:
                await self._search()
                more = await self._send_leftover() or more
            return more and not self._failures
        except Exception:  # a bug must not end the delivery
            self._failures += 1
            log.exception("usage cannot be delivered")
            return False

    async def _search(self) -> None:
        if monotonic() - self._searched < self._pace.search:
            return
        found, problems = await asyncio.to_thread(leftovers, self._folder)
        self._searched = monotonic()
        self._leftovers += found
        for problem in problems:
            log.error("usage of an earlier run cannot be delivered: %s", problem)
        for leftover in found:
            if leftover.waiting:
                log.warning("a worker that is gone left %d usage records: delivering them", leftover.waiting)

    async def _send_leftover(self) -> bool:
        if not self._leftovers:
            return False
        first = self._leftovers[0]
        if first.waiting:
            await self._send(first)
        if not first.waiting:
            self._leftovers.pop(0).leave()
        return bool(self._leftovers)

    async def _send(self, source: Source) -> bool:
        """Whether it may have more."""
        batch = source.batch(self._limit)
        if not batch.records:
            source.delivered(batch)
            return False
        if not await self._add(batch.records):
            if self._failures:
                return False
            if self._limit > 1:  # it is up and refuses: look for the record that it will never take
                self._limit = max(1, self._limit // 2)
                return True
            if not await self._add(source.batch(BATCH).records[1:][-1:]):
                self._failed("it refuses every record")
                return False
            log.error("usage is lost: the database refuses the record of call %s", batch.records[0].call_id)
            self._lost(1)
        full = len(batch.records) == self._limit
        self._limit = min(BATCH, self._limit * 2)
        source.delivered(batch)
        return full

    async def _add(self, records: Sequence[UsageRecord]) -> bool:
        """False if the ledger is down (then it counts as a failure), or if it refuses."""
        if not records:
            return False
        try:
            async with asyncio.timeout(self._pace.send_timeout):
                await self._ledger.add_usage(records)
        except (StoreDown, TimeoutError) as error:
            self._failed(str(error) or "no answer in time")
            return False
        except Exception as error:
            log.warning("the database refuses %d usage records: %s", len(records), type(error).__name__)
            return False
        if self._failures:
            log.warning("the database is back: usage is delivered again")
        self._failures = 0
        return True

    def _failed(self, reason: str) -> None:
        if not self._failures:
            log.error("usage is kept in the spool, the database takes none: %s", reason)
        self._failures += 1
