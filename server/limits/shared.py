"""Limits while their shared store is down: each worker enforces its share, or limited calls are refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, cast

from msgspec.structs import replace

from server.stores.base import LimitStore, Outcome, Quota, Quotas, Refused, StoreDown, Taken

PROBE_S = 1.0
MOST_UNSETTLED = 10_000
MOST_SHARED_OUT = 10_000  # sets of quotas
log = logging.getLogger("portico")
Result = TypeVar("Result")


class SharedStore(LimitStore, Protocol):
    async def probe(self) -> None:
        """Whether it takes something. Raises `StoreDown`."""
        ...


class LocalStore(Protocol):
    """A `LimitStore` that answers at once."""

    def take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome: ...

    def settle(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> None: ...

    def renew(self, hold_ids: Sequence[str]) -> None: ...

    def seed(self, quotas: Quotas, used: Sequence[int], at: float) -> None: ...

    def forget_calendar(self) -> None:
        """What days and months have used is to be seeded again."""
        ...

    async def close(self) -> None: ...


class ShareOf:
    """A `LimitStore` that grants the `shares`-th part of each limit, at least 1.

    With a `number` the remainder is dealt out: shares 0 to `shares - 1` make up the limit together, if it is not less
    than their number.
    """

    degraded = False

    def __init__(self, store: LocalStore, shares: int, number: int | None = None) -> None:
        self._store = store
        self._shares = shares
        self._number = shares if number is None else number
        self._shared_out: dict[int, tuple[Quotas, Quotas]] = {}  # by identity, so that the store can do the same

    def take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome:
        parts = self._parts(quotas)
        outcome = self._store.take(hold_id, parts, amounts)
        if isinstance(outcome, Refused) and outcome.retry_after_s is None:
            index = outcome.index
            if amounts[index] <= quotas[index].limit:
                return replace(outcome, share=parts[index].limit)
        return outcome

    def settle(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> None:
        self._store.settle(hold_id, quotas, used)

    def renew(self, hold_ids: Sequence[str]) -> None:
        self._store.renew(hold_ids)

    def seed(self, quotas: Quotas, used: Sequence[int], at: float) -> None:
        """`used` is that of all shares together; each counts its part of it, rounded up."""
        self._store.seed(quotas, [-(-one // self._shares) for one in used], at)

    def forget_calendar(self) -> None:
        self._store.forget_calendar()

    async def close(self) -> None:
        await self._store.close()

    def _parts(self, quotas: Quotas) -> Quotas:
        if self._shares == 1:
            return quotas
        known = self._shared_out.get(id(quotas))
        if known is not None and known[0] is quotas:
            return known[1]
        parts = tuple([Quota(one.scope, one.kind, self._part(one.limit)) for one in quotas])
        if len(self._shared_out) >= MOST_SHARED_OUT:
            self._shared_out.clear()
        self._shared_out[id(quotas)] = quotas, parts
        return parts

    def _part(self, limit: int) -> int:
        return max(1, limit // self._shares + (self._number < limit % self._shares))


class FailoverLimits:
    """A `LimitStore` over `shared`. After its first failure it is left alone but for a probe every `PROBE_S`.

    Meanwhile `local` decides or, without one, takes raise `StoreDown`. `on_change` hears that it went down (True) or is
    back. Calls are settled where they were taken: what `shared` holds waits for it, up to `MOST_UNSETTLED` calls.
    What is used meanwhile is missing in the days and months of a shared store that kept its data.
    """

    def __init__(self, shared: SharedStore, local: LocalStore | None, on_change: Callable[[bool], None]) -> None:
        self.degraded = False
        self._shared = shared
        self._local = local
        self._on_change = on_change
        self._at_home: set[str] = set()  # open holds of `local`
        self._unsettled: dict[str, tuple[Quotas, Sequence[int]]] = {}
        self._probe: asyncio.Task[None] | None = None

    def take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome | Awaitable[Outcome]:
        return self._take_locally(hold_id, quotas, amounts) if self.degraded else self._take(hold_id, quotas, amounts)

    def settle(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> Awaitable[None] | None:
        if hold_id in self._at_home and self._local is not None:
            self._at_home.discard(hold_id)
            self._local.settle(hold_id, quotas, used)
        elif self.degraded:
            self._settle_later(hold_id, quotas, used)
        else:
            return self._settle(hold_id, quotas, used)
        return None

    async def renew(self, hold_ids: Sequence[str]) -> None:
        here = [one for one in hold_ids if one in self._at_home]
        there = [one for one in hold_ids if one not in self._at_home]
        if here and self._local is not None:
            self._local.renew(here)
        if there and not self.degraded:
            try:
                await now_or_later(self._shared.renew(there))
            except StoreDown as error:
                self._down(error)

    async def seed(self, quotas: Quotas, used: Sequence[int], at: float) -> None:
        if not self.degraded:
            try:
                await now_or_later(self._shared.seed(quotas, used, at))
                return
            except StoreDown as error:
                self._down(error)
        if self._local is not None:
            self._local.seed(quotas, used, at)

    async def close(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self._shared.close()
        if self._local is not None:
            await self._local.close()

    # Inside

    async def _take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome:
        try:
            return await now_or_later(self._shared.take(hold_id, quotas, amounts))
        except StoreDown as error:
            self._down(error)
        return self._take_locally(hold_id, quotas, amounts)

    def _take_locally(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome:
        if self._local is None:
            raise StoreDown("the shared store of limits is down")
        outcome = self._local.take(hold_id, quotas, amounts)
        if isinstance(outcome, Taken):
            self._at_home.add(hold_id)
        elif isinstance(outcome, Refused) and outcome.share is not None:  # it may fit when the store is back
            return replace(outcome, retry_after_s=PROBE_S)
        return outcome

    async def _settle(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> None:
        try:
            await now_or_later(self._shared.settle(hold_id, quotas, used))
        except StoreDown as error:
            self._down(error)
            self._settle_later(hold_id, quotas, used)

    def _settle_later(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> None:
        if len(self._unsettled) < MOST_UNSETTLED:
            self._unsettled[hold_id] = (quotas, used)

    def _down(self, error: StoreDown) -> None:
        if self.degraded:
            return
        self.degraded = True
        if self._local is not None:
            self._local.forget_calendar()  # of an earlier time without the store
        then = "limited calls are refused" if self._local is None else "each worker enforces its share"
        log.error("limits: the shared store is down, %s until it is back: %s", then, error)
        self._on_change(True)
        self._probe = asyncio.get_running_loop().create_task(self._until_back(), name="probe the store of limits")

    async def _until_back(self) -> None:
        while self.degraded:
            await asyncio.sleep(PROBE_S)
            try:
                await self._shared.probe()
                await self._settle_what_waits()
            except StoreDown:
                continue
            self.degraded = False
            log.warning("limits: the shared store is back")
            self._on_change(False)

    async def _settle_what_waits(self) -> None:
        while self._unsettled:
            hold_id = next(iter(self._unsettled))
            await now_or_later(self._shared.settle(hold_id, *self._unsettled[hold_id]))
            del self._unsettled[hold_id]


async def now_or_later(result: Result | Awaitable[Result]) -> Result:
    return await cast(Awaitable[Result], result) if isinstance(result, Awaitable) else cast(Result, result)
