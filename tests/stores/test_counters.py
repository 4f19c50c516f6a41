"""The decision of limits against a list of all takings, and what it keeps in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.stores.base import LEASE_S, Refused, StoreDown, Unseeded
from server.stores.counters import Counters
from tests.contract.limit_stores import MIDNIGHT, NOON, Charge, Granted, asked, charge, quotas, tokens, told

LIMIT = 100


@dataclass
class Taking:
    at: float
    amount: int
    expires: float | None = None  # None: settled


@dataclass
class Oracle:
    """Remembers every taking for ever, and adds them up."""

    takings: dict[int, Taking] = field(default_factory=dict)

    def expire(self, now: float) -> None:
        for taking in self.takings.values():
            if taking.expires is not None and taking.expires <= now:
                taking.amount, taking.expires = 0, None

    def used(self, now: float) -> int:
        return sum(one.amount for one in self.takings.values() if int(one.at) >= int(now) - 60)

    def fits_at(self, amount: int, now: float) -> float:
        """The first second, or now, at which `amount` fits."""
        moment = now
        while self.used(moment) + amount > LIMIT:
            moment = float(int(moment) + 1)
        return moment

    def most_in_60_s(self) -> int:
        """In any window that begins with a taking."""
        starts = [one.at for one in self.takings.values()]
        return max(
            (sum(one.amount for one in self.takings.values() if start <= one.at <= start + 60) for start in starts),
            default=0,
        )


GAPS = st.sampled_from((0.0, 0.25, 0.9, 1.0, 5.5, 20.0, 59.0, 60.0, 61.0)) | st.floats(0, 30, allow_subnormal=False)
VERBS = ("take", "take", "take", "settle", "renew")
STEPS = st.lists(
    st.tuples(
        GAPS, st.sampled_from(("take", "take", "take", "settle", "renew")), st.integers(0, 60), st.integers(0, 7)
    ),
    max_size=60,
)


@given(STEPS, st.booleans())
def test_a_minute_against_all_takings(steps: list[tuple[float, str, int, int]], up: bool) -> None:
    counters, oracle, now = Counters(), Oracle(), NOON
    for number, (gap, verb, amount, which) in enumerate(steps):
        now += gap
        oracle.expire(now)
        held = [one for one, taking in oracle.takings.items() if taking.expires is not None]
        if verb == "take":
            outcome = take(counters, str(number), [tokens(LIMIT, amount)], now)
            if isinstance(outcome, Granted):
                assert not amount or oracle.used(now) + amount <= LIMIT
                oracle.takings[number] = Taking(now, amount, now + LEASE_S)
                assert outcome.standings[0].remaining == max(0, LIMIT - oracle.used(now))
            else:
                assert isinstance(outcome, Refused)
                assert outcome.retry_after_s is not None
                assert now + outcome.retry_after_s == oracle.fits_at(amount, now) > now
        elif held:
            one = held[which % len(held)]
            taking = oracle.takings[one]
            if verb == "renew":
                counters.renew([str(one)], now)
                taking.expires = now + LEASE_S
            else:
                used = amount if up else min(amount, taking.amount)
                counters.settle(str(one), [used], now)
                taking.amount, taking.expires = used, None
                look = take(counters, f"look {number}", [tokens(LIMIT, 0)], now)
                assert isinstance(look, Granted)
                assert look.standings[0].remaining == max(0, LIMIT - oracle.used(now))
    if not up:
        assert oracle.most_in_60_s() <= LIMIT


@given(st.lists(st.tuples(GAPS, st.integers(1, 40)), max_size=30), st.integers(1, LIMIT))
def test_a_refused_call_fits_when_it_was_told_to_come_back(takes: list[tuple[float, int]], wanted: int) -> None:
    counters, now = Counters(), NOON
    for gap, amount in takes:
        now += gap
        take(counters, "used", [tokens(LIMIT, amount)], now)
        counters.settle("used", [amount], now)
    outcome = take(counters, "wanted", [tokens(LIMIT, wanted)], now)
    if isinstance(outcome, Refused):
        assert outcome.retry_after_s is not None
        there = now + outcome.retry_after_s
        assert isinstance(take(counters, "wanted", [tokens(LIMIT, wanted)], there - 1e-3), Refused)
        assert isinstance(take(counters, "wanted", [tokens(LIMIT, wanted)], there), Granted)


def take(counters: Counters, hold_id: str, charges: Sequence[Charge], now: float) -> Granted | Refused | Unseeded:
    return told(counters.take(hold_id, *asked(charges), now), len(charges))


def whole_call(counters: Counters, now: float, *charges: Charge) -> None:
    assert isinstance(take(counters, "call", charges, now), Granted)
    counters.settle("call", [one.amount for one in charges], now)


def test_idle_counters_are_forgotten_as_new_ones_come() -> None:
    counters = Counters()
    for number in range(1000):
        scope = f"key:{number}"
        whole_call(counters, NOON + number, tokens(10, 1, scope), charge("concurrent_requests", 1, 1, scope))
    assert repr(counters) == "[Limits: 75 counters, 0 holds]"


def test_counters_in_use_are_never_forgotten() -> None:
    counters = Counters(most=3)
    for name in "abc":
        whole_call(counters, NOON, tokens(10, 10, name))
    with pytest.raises(StoreDown, match="3 limits are in use"):
        take(counters, "call", [tokens(10, 1, "d")], NOON)
    for name in "abc":
        assert isinstance(take(counters, "call", [tokens(10, 1, name)], NOON), Refused)
    whole_call(counters, NOON + 61, tokens(10, 1, "d"))


def test_new_counters_of_one_call_do_not_push_each_other_out() -> None:
    counters = Counters()
    charges = [tokens(10, 10, name) for name in "abcdef"]
    whole_call(counters, NOON, *charges)
    for one in charges:
        assert isinstance(take(counters, "next", [one], NOON), Refused)


def test_days_can_be_forgotten() -> None:
    counters = Counters()
    day, minute = charge("tokens_per_day", 100, 10), tokens(100, 10)
    counters.seed(quotas([day]), [5], NOON, NOON)
    assert isinstance(take(counters, "a", [day, minute], NOON), Granted)
    counters.forget_calendar()
    counters.seed(quotas([day]), [50], NOON, NOON)
    outcome = take(counters, "b", [day, minute], NOON)
    assert isinstance(outcome, Granted)
    assert [one.remaining for one in outcome.standings] == [40, 80]


KEYS = [
    [tokens(LIMIT, 0, name), charge("requests_per_minute", 20, 1, name), tokens(LIMIT + 50, 0, "project:p"),
     charge("tokens_per_day", 1000, 0, "project:p"), charge("concurrent_requests", 3, 1, "project:p")]
    for name in ("key:a", "key:b")
]  # fmt: skip


@given(st.lists(st.tuples(GAPS, st.sampled_from(VERBS), st.integers(0, 60), st.integers(0, 7)), max_size=60))
def test_keys_that_share_counters_are_counted_as_if_each_call_came_with_quotas_of_its_own(
    steps: list[tuple[float, str, int, int]],
) -> None:
    """What is remembered of a key's counters from call to call makes no difference, whoever else uses them."""
    remembered, afresh, now = Counters(), Counters(), MIDNIGHT - 100
    known = [quotas(charges) for charges in KEYS]
    held: list[str] = []
    for number, (gap, verb, amount, which) in enumerate(steps):
        now += gap
        key = which % 2
        asks = [amount if one.kind.startswith("tokens") else one.amount for one in KEYS[key]]
        if verb == "take":
            first = remembered.take(str(number), known[key], asks, now)
            second = afresh.take(str(number), quotas(KEYS[key]), asks, now)
            assert told(first, 5) == told(second, 5)
            if isinstance(first, Unseeded):
                remembered.seed(known[key], [10] * 5, now, now)
                afresh.seed(quotas(KEYS[key]), [10] * 5, now, now)
            held.append(str(number))
        elif held:
            one = held[which % len(held)]
            for counters in (remembered, afresh):
                if verb == "renew":
                    counters.renew([one], now)
                else:
                    counters.settle(one, asks, now)
