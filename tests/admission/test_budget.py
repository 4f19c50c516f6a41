"""The budget for tries: a share of the calls, and a floor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.admission.budget import FLOOR, FLOOR_S, MOST, SHARE, RetryBudget


def spend_all(budget: RetryBudget, now: float) -> int:
    tries = 0
    while budget.allows(now):
        budget.spend()
        tries += 1
    return tries


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 2)), max_size=40))
def test_never_more_than_the_share_and_the_floor(rounds: list[tuple[int, float]]) -> None:
    """Every call fails and is tried again whenever the budget allows it."""
    budget, now, calls, tries = RetryBudget(), 0.0, 0, 0
    for number, passed in rounds:
        now += passed
        for _ in range(number):
            budget.called()
            calls += 1
            if budget.allows(now):
                budget.spend()
                tries += 1
    assert tries <= FLOOR + SHARE * calls + now * FLOOR / FLOOR_S + 1e-6


def test_a_quiet_service_may_try_again() -> None:
    budget = RetryBudget()
    assert spend_all(budget, 0.0) == FLOOR
    assert spend_all(budget, FLOOR_S / 2) == FLOOR / 2
    assert spend_all(budget, 1000.0) == FLOOR


def test_what_is_saved_up_is_bounded() -> None:
    budget = RetryBudget()
    for _ in range(100_000):
        budget.called()
    assert spend_all(budget, 0.0) == MOST
