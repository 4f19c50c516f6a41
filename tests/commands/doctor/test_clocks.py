from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.commands.doctor.clocks import Clock, judge_clocks
from server.commands.doctor.fetch import ahead


def test_those_that_agree_are_said_together() -> None:
    (verdict,) = judge_clocks([Clock("the database", 0.4), Clock("engine one", -4.9)])
    assert (verdict.level, verdict.text) == ("ok", "the clock agrees with the database, engine one")
    assert list(judge_clocks([])) == []


@pytest.mark.parametrize(
    ("ahead_s", "level", "text"),
    [(12, "warn", "12 s ahead"), (-30, "warn", "30 s behind"), (3600, "fail", "3600 s ahead")],
)
def test_one_that_is_wrong(ahead_s: float, level: str, text: str) -> None:
    (verdict,) = judge_clocks([Clock("engine one", ahead_s)])
    assert verdict.level == level and f"the clock of engine one is {text}" in verdict.line and "NTP" in verdict.line


@given(ours=st.floats(1e9, 2e9), off=st.floats(-1e5, 1e5), took=st.floats(0, 3))
def test_a_date_of_whole_seconds_tells_the_difference_to_within_one(ours: float, off: float, took: float) -> None:
    told = ahead(formatdate(int(ours + took / 2 + off), usegmt=True), ours, ours + took)
    assert told is not None
    assert abs(told - off) <= 1 + took + 1e-3


@given(ours=st.floats(1e9, 2e9), took=st.floats(0, 3))
def test_a_clock_that_agrees_is_not_blamed_for_whole_seconds(ours: float, took: float) -> None:
    assert ahead(formatdate(int(ours + took / 2), usegmt=True), ours, ours + took) == 0


@pytest.mark.parametrize("date", [None, "yesterday", "Sat, 99 Nov 2026 07:00:00 GMT"])
def test_no_date(date: str | None) -> None:
    assert ahead(date, 0, 1) is None
