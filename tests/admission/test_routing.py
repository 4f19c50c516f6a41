"""The choice within a fleet: prefixes stay where they are, shares are kept, nobody is loaded much above the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.admission.fair_queue import Ticket
from server.admission.routing import BOUND, AnswerLengths, choose, work_left
from server.admission.slots import Slots


@dataclass
class Engine:
    name: str
    capacity: int
    outstanding: float = 0.0
    in_flight: int = 0
    limit: int = 8
    usable: bool = True
    broken: bool = False


PREFIXES = st.integers(0, 2**64 - 1)
FLEETS = st.lists(st.tuples(st.integers(1, 64), st.floats(0, 1e6)), min_size=1, max_size=6).map(
    lambda rows: [Engine(f"engine-{at}", capacity, load) for at, (capacity, load) in enumerate(rows)]
)


@given(FLEETS, PREFIXES, st.floats(1, 1e5))
def test_no_engine_above_its_bound_gets_more(fleet: list[Engine], prefix: int, work: float) -> None:
    chosen = choose(fleet, prefix, work)
    total = sum(engine.outstanding for engine in fleet) + work
    fair = total * chosen.capacity / sum(engine.capacity for engine in fleet)
    assert chosen.outstanding < BOUND * fair or len(fleet) == 1


@given(FLEETS, st.floats(1, 1e5))
def test_without_a_prefix_the_least_loaded(fleet: list[Engine], work: float) -> None:
    chosen = choose(fleet, None, work)
    assert all(chosen.outstanding / chosen.capacity <= engine.outstanding / engine.capacity for engine in fleet)


@given(st.integers(2, 6), PREFIXES, st.integers(0, 5))
def test_an_engine_that_leaves_moves_only_its_own_prefixes(size: int, prefix: int, leaver: int) -> None:
    fleet = [Engine(f"engine-{at}", 8) for at in range(size)]
    before = choose(fleet, prefix, 1.0)
    rest = [engine for at, engine in enumerate(fleet) if at != leaver % size]
    after = choose(rest, prefix, 1.0)
    assert after is before or before not in rest


def test_shares_are_in_proportion_to_capacity() -> None:
    fleet = [Engine("a", 10), Engine("b", 10), Engine("c", 20)]
    won = Counter(choose(fleet, prefix * 0x123456789ABCDEF % 2**64, 1.0).name for prefix in range(20_000))
    assert won["a"] / 20_000 == pytest.approx(0.25, abs=0.02)
    assert won["b"] / 20_000 == pytest.approx(0.25, abs=0.02)
    assert won["c"] / 20_000 == pytest.approx(0.5, abs=0.02)


def test_a_prefix_comes_back_when_its_engine_has_room_again() -> None:
    fleet = [Engine(name, 8) for name in "abc"]
    home = choose(fleet, 7, 100.0)
    home.outstanding = 1000.0
    elsewhere = choose(fleet, 7, 100.0)
    assert elsewhere is not home
    home.outstanding = 0.0
    assert choose(fleet, 7, 100.0) is home


@given(st.integers(0, 10_000), st.floats(0, 10_000), st.integers(0, 20_000))
def test_work_never_vanishes_before_the_end(prompt: int, expected: float, completion: int) -> None:
    assert 1.0 <= work_left(prompt, expected, completion) <= max(1.0, prompt + expected)


def test_the_expected_length_follows_the_answers() -> None:
    lengths = AnswerLengths()
    for _ in range(200):
        lengths.ended(40)
    assert lengths.expected == pytest.approx(40, abs=1)


def test_what_is_outstanding_is_counted_from_the_start_to_the_end() -> None:
    engines = [Engine("a", 4), Engine("b", 4)]
    slots: Slots[Engine] = Slots(10, 1e9)
    tickets = [Ticket(engines, "m", "t", prompt=1000) for _ in range(4)]
    held = [slots.take(one) for one in tickets]
    first = held[0]
    assert first is not None
    start = first.outstanding
    slots.progress(tickets[0], first, 10)
    assert first.outstanding < start - 1000
    for ticket, engine in zip(tickets, held, strict=True):
        assert engine is not None
        slots.give(ticket, engine, 1000, 50, 0.0)
    assert [(engine.in_flight, engine.outstanding) for engine in engines] == [(0, 0.0), (0, 0.0)]
