from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.admission.admission import DrainRate


def test_nothing_known() -> None:
    assert DrainRate().wait_s(5, 10.0) == 1.0


def test_a_steady_rate() -> None:
    rate = DrainRate()
    for second in range(0, 100, 2):
        rate.ended(float(second))
    assert 19 <= rate.wait_s(9, 98.0) <= 21


@given(st.lists(st.floats(0, 1e6), max_size=100).map(sorted), st.integers(0, 10_000), st.floats(0, 1e6))
def test_always_between_one_and_sixty(ends: list[float], ahead: int, later: float) -> None:
    rate = DrainRate()
    for end in ends:
        rate.ended(end)
    assert 1.0 <= rate.wait_s(ahead, (ends or [0.0])[-1] + later) <= 60.0
