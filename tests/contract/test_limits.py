"""`LimitStore`, on every backend: what is granted, refused, settled, forgotten, and what is told about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from server.stores.base import LEASE_S, LimitKind, LimitStore, Refused, Unseeded
from server.stores.memory import MemoryLimits
from tests.contract.limit_stores import (
    DECEMBER,
    MIDNIGHT,
    NOON,
    Charge,
    Clock,
    Granted,
    Standing,
    Store,
    charge,
    shared_limits,
    tokens,
)
from tests.services.redis import RedisServer

CALENDAR: list[tuple[LimitKind, float]] = [
    ("requests_per_day", MIDNIGHT),
    ("tokens_per_day", MIDNIGHT),
    ("spend_per_month", DECEMBER),
]


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    clock = Clock()
    with asyncio.Runner() as runner:
        limits: LimitStore
        if request.param == "memory":
            limits = MemoryLimits(clock)
        else:
            server: RedisServer = request.getfixturevalue("redis_server")
            limits = shared_limits(server.url, clock)
        store = Store(limits, runner, clock)
        yield store
        store.close()


def use(store: Store, *charges: Charge) -> None:
    """A whole call that uses all it takes."""
    assert isinstance(store.take("used", *charges), Granted)
    store.settle("used", charges, [one.amount for one in charges])


# A minute


def test_what_fits_is_taken_and_told(store: Store) -> None:
    assert store.take("a", tokens(100, 30)) == Granted((Standing(70, 61.0),))
    store.clock.now += 20.25
    assert store.take("b", tokens(100, 50)) == Granted((Standing(20, 60.75),))


def test_what_does_not_fit_says_when_it_will(store: Store) -> None:
    use(store, tokens(100, 30))
    store.clock.now += 10
    use(store, tokens(100, 40))
    store.clock.now += 10
    assert store.take("c", tokens(100, 31)) == Refused(0, 30, 41.0)
    assert store.take("c", tokens(100, 61)) == Refused(0, 30, 51.0)
    store.clock.now += 40.75
    assert store.take("c", tokens(100, 31)) == Refused(0, 30, 0.25)
    store.clock.now += 0.25
    assert isinstance(store.take("c", tokens(100, 31)), Granted)


def test_more_than_the_limit_never_fits(store: Store) -> None:
    assert store.take("a", tokens(100, 101)) == Refused(0, 100, None)
    assert isinstance(store.take("a", tokens(100, 100)), Granted)
    assert store.take("b", tokens(100, 101)) == Refused(0, 0, None)


def test_what_counts_for_60_seconds_counts_to_the_end_of_its_second(store: Store) -> None:
    store.clock.now = NOON + 0.75
    use(store, tokens(100, 100))
    store.clock.now = NOON + 60.99
    assert isinstance(store.take("b", tokens(100, 1)), Refused)
    store.clock.now = NOON + 61
    assert store.take("b", tokens(100, 100)) == Granted((Standing(0, 61.0),))


def test_all_or_nothing(store: Store) -> None:
    fits, full = tokens(100, 10), tokens(5, 6, scope="project:p")
    assert store.take("a", fits, full) == Refused(1, 5, None)
    assert store.take("b", fits) == Granted((Standing(90, 61.0),))


def test_the_longest_wait_is_named(store: Store) -> None:
    one, other = tokens(10, 10), tokens(10, 10, scope="project:p")
    store.take("a", one)
    store.clock.now += 5
    store.take("b", other)
    assert store.take("c", one, other) == Refused(1, 0, 61.0)
    assert store.take("c", tokens(10, 11), other) == Refused(0, 0, None)


def test_nothing_always_fits(store: Store) -> None:
    store.take("a", tokens(10, 10))
    store.settle("a", [tokens(10, 10)], [25])
    assert store.take("b", tokens(10, 0)) == Granted((Standing(0, 61.0),))


def test_the_same_hold_takes_once(store: Store) -> None:
    store.take("a", tokens(100, 30))
    assert store.take("a", tokens(100, 30)) == Granted((Standing(70, 61.0),))
    assert store.settle("a", [tokens(100, 30)], [0]) == (Standing(100, 0.0),)


# Settling


def test_settling_gives_back_where_it_was_taken(store: Store) -> None:
    store.take("a", tokens(100, 60))
    store.clock.now += 10
    use(store, tokens(100, 40))
    assert store.settle("a", [tokens(100, 60)], [10]) == (Standing(50, 61.0),)
    store.clock.now += 51
    assert store.take("c", tokens(100, 0)) == Granted((Standing(60, 10.0),))


def test_settling_again_is_no_harm(store: Store) -> None:
    store.take("a", tokens(100, 60))
    store.settle("a", [tokens(100, 60)], [10])
    assert store.settle("a", [tokens(100, 60)], [10]) == (Standing(90, 61.0),)


def test_settling_may_go_above_the_limit(store: Store) -> None:
    store.take("a", tokens(100, 60))
    assert store.settle("a", [tokens(100, 60)], [150]) == (Standing(0, 61.0),)
    assert store.take("b", tokens(100, 1)) == Refused(0, 0, 61.0)


def test_a_minute_later_there_is_nothing_to_correct(store: Store) -> None:
    store.take("a", tokens(100, 60))
    for _ in range(3):
        store.clock.now += 30
        store.renew("a")
    store.take("b", tokens(100, 20))
    assert store.settle("a", [tokens(100, 60)], [0]) == (Standing(80, 61.0),)


def test_the_reset_is_that_of_the_last_second_that_counts(store: Store) -> None:
    store.take("a", tokens(100, 10))
    store.clock.now += 7
    store.take("b", tokens(100, 20))
    assert store.settle("b", [tokens(100, 20)], [0]) == (Standing(90, 54.0),)


def test_a_request_counts_as_often_as_its_settlement_says(store: Store) -> None:
    request = charge("requests_per_minute", 2)
    store.take("a", request)
    store.take("b", request)
    assert store.settle("a", [request], [1]) == (Standing(0, 61.0),)
    assert store.settle("b", [request], [0]) == (Standing(1, 61.0),)


# Open requests


def test_places_of_open_requests(store: Store) -> None:
    place = charge("concurrent_requests", 2)
    assert store.take("a", place) == Granted((Standing(1, 1.0),))
    store.take("b", place)
    assert store.take("c", place) == Refused(0, 0, 1.0)
    assert store.settle("a", [place], [1]) == (Standing(1, 1.0),)
    assert isinstance(store.take("c", place), Granted)
    store.settle("b", [place], [0])
    assert store.settle("c", [place], [0]) == (Standing(2, 0.0),)


def test_many_limits_are_settled_together(store: Store) -> None:
    charges = charge("concurrent_requests", 4), charge("requests_per_minute", 10), tokens(1000, 400)
    taken = store.take("a", *charges)
    assert taken == Granted((Standing(3, 1.0), Standing(9, 61.0), Standing(600, 61.0)))
    settled = store.settle("a", charges, [0, 1, 150])
    assert settled == (Standing(4, 0.0), Standing(9, 61.0), Standing(850, 61.0))


# Leases


def test_a_hold_that_nobody_renews_expires(store: Store) -> None:
    day = charge("tokens_per_day", 100, 60)
    charges = charge("requests_per_minute", 10), charge("concurrent_requests", 1), day
    store.seed([day], [0], store.clock.now)
    store.clock.now += 0.5
    store.take("a", *charges)
    store.clock.now += LEASE_S - 0.01
    assert isinstance(store.take("b", charge("concurrent_requests", 1)), Refused)
    store.clock.now += 0.01
    taken = store.take("b", *charges)
    assert isinstance(taken, Granted)
    assert [one.remaining for one in taken.standings] == [8, 0, 40]
    assert store.settle("a", charges, [1, 0, 60])[2].remaining == 40


def test_a_renewed_hold_stays(store: Store) -> None:
    place = charge("concurrent_requests", 1)
    store.take("a", place)
    for _ in range(5):
        store.clock.now += LEASE_S - 1
        store.renew("a", "unheard of")
    assert isinstance(store.take("b", place), Refused)
    store.clock.now += LEASE_S
    assert isinstance(store.take("b", place), Granted)


def test_what_many_dead_calls_held_comes_back(store: Store) -> None:
    place = charge("concurrent_requests", 200)
    for number in range(200):
        store.take(f"dead {number}", place)
    store.clock.now += LEASE_S
    looks = [store.take(f"look {number}", charge("concurrent_requests", 200, 0)) for number in range(4)]
    assert [one.standings[0].remaining for one in looks if isinstance(one, Granted)] == [64, 128, 192, 200]


# Days and months


@pytest.mark.parametrize(("kind", "end"), CALENDAR)
def test_a_day_or_month_is_asked_for_once(store: Store, kind: LimitKind, end: float) -> None:
    one = charge(kind, 100, 10)
    assert store.take("a", tokens(9, 1), one) == Unseeded((1,), NOON)
    store.seed([one], [55], NOON)
    store.seed([one], [0], NOON)
    assert store.take("a", one) == Granted((Standing(35, end - NOON),))
    assert store.take("b", charge(kind, 100, 36)) == Refused(0, 35, end - NOON)


@pytest.mark.parametrize(("kind", "end"), CALENDAR)
def test_a_day_or_month_ends(store: Store, kind: LimitKind, end: float) -> None:
    one = charge(kind, 100, 100)
    store.seed([one], [0], NOON)
    store.clock.now = end - 0.5
    store.take("a", one)
    assert store.take("b", one) == Refused(0, 0, 0.5)
    store.clock.now = end
    assert store.take("b", one) == Unseeded((0,), end)
    store.seed([one], [0], end)
    store.take("b", one)
    assert store.settle("a", [one], [0])[0].remaining == 0, "what was taken yesterday is given back to yesterday"


def test_what_was_looked_up_before_midnight_does_not_begin_a_day(store: Store) -> None:
    one = charge("tokens_per_day", 100, 1)
    store.clock.now = MIDNIGHT
    store.seed([one], [100], MIDNIGHT - 0.01)
    assert store.take("a", one) == Unseeded((0,), MIDNIGHT)


@pytest.mark.parametrize(
    ("now", "begin", "end"),
    [
        (1_709_164_800.0, 1_706_745_600, 1_709_251_200),  # 29 February 2024
        (1_772_323_199.0, 1_769_904_000, 1_772_323_200),  # the end of February 2026
        (1_798_761_599.5, 1_796_083_200, 1_798_761_600),  # the end of the year
        (951_782_400.0, 949_363_200, 951_868_800),  # 29 February 2000
        (4_107_542_399.0, 4_105_123_200, 4_107_542_400),  # 28 February 2100, no leap year
    ],
)
def test_months(store: Store, now: float, begin: int, end: int) -> None:
    one = charge("spend_per_month", 10, 1)
    store.clock.now = now
    store.seed([one], [0], begin - 1)
    store.seed([one], [0], end)
    assert isinstance(store.take("a", one), Unseeded)
    store.seed([one], [0], begin)
    assert store.take("a", one) == Granted((Standing(9, end - now),))


def test_large_amounts_are_exact(store: Store) -> None:
    spend = charge("spend_per_month", 9_000_000_000_000_001, 8_999_999_999_999_999)
    store.seed([spend], [1], NOON)
    assert store.take("a", spend) == Granted((Standing(1, DECEMBER - NOON),))
    assert store.settle("a", [spend], [123_456_789_012_345])[0].remaining == 8_876_543_210_987_655


def test_a_clock_that_was_set_back_grants_no_more(store: Store) -> None:
    store.clock.now = NOON + 10
    use(store, tokens(100, 60))
    store.clock.now = NOON
    use(store, tokens(100, 30))
    assert store.take("c", tokens(100, 11)) == Refused(0, 10, 71.0)
    store.clock.now = NOON + 71
    assert isinstance(store.take("c", tokens(100, 100)), Granted)
