"""The hold: taken before dispatch, settled however the call ends. Store and counter are told what to say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from server.call import Call, Tokens
from server.config import Limit, Limits
from server.errors import GatewayError, StoreUnavailable, TooManyRequests
from server.limits.limiter import Hold, Limiter
from server.stores.base import Outcome, Quotas, Refused, Standings, StoreDown, Unseeded
from server.stores.records import UsageTotal
from tests.limits.calls import a_call

BOUND, EXACT = 100, 40
TPM = Limit(tokens_per_minute=1000, requests_per_minute=5)


def by_kind(quotas: Quotas, amounts: Sequence[int]) -> dict[str, int]:
    return {quota.kind: amount for quota, amount in zip(quotas, amounts, strict=True)}


class Store:
    """Answers `take` with what was put into `says`, at once or `later`."""

    degraded = False

    def __init__(self, *says: Outcome | StoreDown | None, later: bool = False) -> None:
        self.says = list(says)  # None: all is taken
        self.later = later
        self.taken: list[dict[str, int]] = []
        self.settled: list[dict[str, int]] = []
        self.seeded: list[tuple[list[str], list[int], float]] = []
        self.renewed: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int]) -> Outcome | Awaitable[Outcome]:
        self.taken.append(by_kind(quotas, amounts))
        outcome = self.says.pop(0) if self.says else None
        if isinstance(outcome, StoreDown):
            raise outcome
        left = [quota.limit - amount for quota, amount in zip(quotas, amounts, strict=True)]
        taken = outcome or Standings(left, [30.0] * len(left))
        return self._later(taken) if self.later else taken

    async def _later(self, outcome: Outcome) -> Outcome:
        await self.gate.wait()
        return outcome

    def settle(self, hold_id: str, quotas: Quotas, used: Sequence[int]) -> None:
        self.settled.append(by_kind(quotas, used))

    def renew(self, hold_ids: Sequence[str]) -> None:
        self.renewed.append(list(hold_ids))

    def seed(self, quotas: Quotas, used: Sequence[int], at: float) -> None:
        self.seeded.append(([quota.kind for quota in quotas], list(used), at))

    async def close(self) -> None: ...


class Counter:
    def __init__(self) -> None:
        self.counted = 0

    def upper_bound(self, call: Call) -> int:
        return BOUND

    async def count(self, call: Call) -> int:
        self.counted += 1
        return EXACT


class Ledger:
    async def usage(self, **filters: Any) -> list[UsageTotal]:
        self.asked = filters
        return [UsageTotal(0, None, None, None, requests=3, prompt=50, cached=0, completion=20, reasoning=0, cost=7)]


class Told:
    def __init__(self) -> None:
        self.granted = 0
        self.error: Exception | None = None
        self.done = asyncio.Event()

    def on_granted(self) -> None:
        self.granted += 1
        self.done.set()

    def on_failed(self, error: Exception) -> None:
        self.error = error
        self.done.set()


def limiter(store: Store, refused: Callable[[str], None] = lambda kind: None) -> Limiter:
    return Limiter(store, Ledger(), Counter(), Limits(answer_tokens=200), refused)


def hold_of(one: Limiter, call: Call) -> Hold:
    hold = one.hold(call)
    assert hold is not None
    return hold


async def test_nothing_limits_nothing_is_held() -> None:
    assert limiter(Store()).hold(a_call()) is None


async def test_taken_at_once_and_settled_to_what_was_used() -> None:
    store, call, told = Store(), a_call(TPM), Told()
    hold = hold_of(limiter(store), call)
    assert hold.request(told.on_granted, told.on_failed)
    assert store.taken == [{"requests_per_minute": 1, "tokens_per_minute": BOUND + 200}]
    assert call.answer_tokens == 200
    assert call.rate is not None
    assert call.rate.tokens is not None
    assert call.rate.tokens.remaining == 700
    call.dispatched, call.tokens = 1.0, Tokens(EXACT, 11)
    hold.settle()
    hold.settle()
    assert store.settled == [{"requests_per_minute": 1, "tokens_per_minute": EXACT + 11}]
    assert told.granted == 0, "whoever asked knows"


async def test_a_call_that_never_went_out_used_nothing() -> None:
    store, told = Store(), Told()
    hold = hold_of(limiter(store), a_call(TPM))
    hold.request(told.on_granted, told.on_failed)
    hold.settle()
    assert store.settled[0] == {"requests_per_minute": 0, "tokens_per_minute": 0}


async def test_counted_exactly_where_the_bound_does_not_fit() -> None:
    store, told = Store(Refused(1, 250, 9.0)), Told()
    one = limiter(store)
    assert not hold_of(one, a_call(TPM)).request(told.on_granted, told.on_failed)
    await told.done.wait()
    assert told.granted == 1
    assert [taken["tokens_per_minute"] for taken in store.taken] == [BOUND + 200, EXACT + 200]


async def test_refused_after_the_exact_count() -> None:
    kinds: list[str] = []
    store, told, call = Store(Refused(1, 100, 9.0), Refused(1, 100, 9.0)), Told(), a_call(TPM)
    assert not hold_of(limiter(store, kinds.append), call).request(told.on_granted, told.on_failed)
    await told.done.wait()
    assert isinstance(told.error, TooManyRequests)
    assert told.error.retry_after == 9.0
    assert kinds == ["tokens_per_minute"]
    assert len(store.taken) == 2
    assert call.rate is not None
    assert call.rate.tokens is not None
    assert call.rate.tokens.remaining == 100


async def test_requests_need_no_count() -> None:
    store, told = Store(Refused(0, 0, 3.0)), Told()
    assert not hold_of(limiter(store), a_call(TPM)).request(told.on_granted, told.on_failed)
    await told.done.wait()
    assert isinstance(told.error, TooManyRequests)
    assert len(store.taken) == 1


async def test_a_new_counter_is_seeded_from_the_ledger() -> None:
    store, told = Store(Unseeded((0, 1), 1_000_000.5)), Told()
    one = limiter(store)
    call = a_call(Limit(requests_per_day=10, tokens_per_day=1000))
    assert not hold_of(one, call).request(told.on_granted, told.on_failed)
    await told.done.wait()
    assert told.granted == 1
    assert store.seeded == [(["requests_per_day", "tokens_per_day"], [3, 70], 1_000_000.5)]
    ledger = one.totals
    assert isinstance(ledger, Ledger)
    assert (ledger.asked["key_ids"], ledger.asked["since"]) == (["key_1"], 950_400)


async def test_the_client_leaves_before_the_store_answers() -> None:
    store, told = Store(later=True), Told()
    store.gate.clear()
    one = limiter(store)
    hold = hold_of(one, a_call(TPM))
    assert not hold.request(told.on_granted, told.on_failed)
    hold.settle()
    store.gate.set()
    await one.stop()
    assert told.granted == 0
    assert told.error is None
    assert len(store.settled) == 1, "what was taken meanwhile is given back"


@pytest.mark.parametrize("later", [True, False])
async def test_without_the_store(later: bool) -> None:
    store, told = Store(Unseeded((0,), 1.0) if later else StoreDown("gone"), StoreDown("gone")), Told()
    one = limiter(store)
    call = a_call(Limit(requests_per_day=10))
    if later:
        hold_of(one, call).request(told.on_granted, told.on_failed)
        await told.done.wait()
        error: Exception | None = told.error
    else:
        with pytest.raises(GatewayError) as caught:
            hold_of(one, call).request(told.on_granted, told.on_failed)
        error = caught.value
    assert isinstance(error, StoreUnavailable)


async def test_open_holds_are_renewed() -> None:
    store, told = Store(), Told()
    one = limiter(store)
    hold = hold_of(one, a_call(TPM))
    hold.request(told.on_granted, told.on_failed)
    one.tick(100.0)
    one.tick(101.0)
    hold.settle()
    one.tick(200.0)
    await one.stop()
    assert store.renewed == [["req_1"]]
