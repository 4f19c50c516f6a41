"""Counters of limits in memory: for one worker, answered at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time

from server.stores.base import Outcome, Quotas
from server.stores.counters import MOST_COUNTERS, Counters


class MemoryLimits:
    """A `LimitStore`. `clock` tells Unix seconds. See `Counters` for the bound on memory."""

    degraded = False

    def __init__(self, clock: Callable[[], float] = time, most_counters: int = MOST_COUNTERS) -> None:
        self._clock = clock
        self._counters = Counters(most_counters)

    def __repr__(self) -> str:
        return repr(self._counters)

    def take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome:
        return self._counters.take(hold_id, quotas, amounts, self._clock())

    def settle(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> None:
        self._counters.settle(hold_id, used, self._clock())

    def renew(self, hold_ids: Sequence[str]) -> None:
        self._counters.renew(hold_ids, self._clock())

    def seed(self, quotas: Quotas, used: Sequence[int], at: float) -> None:
        self._counters.seed(quotas, used, at, self._clock())

    def forget_calendar(self) -> None:
        """What days and months have used is to be seeded again."""
        self._counters.forget_calendar()

    async def close(self) -> None:
        pass
