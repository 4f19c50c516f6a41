from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.limits.seeding import period
from server.retention.cutoff import CLOCKS_S, cutoff, usage_cutoff


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("now", "days", "before"),
    [
        ("2026-11-28T05:00", 1, "2026-11-27"),
        ("2026-11-28T00:00", 1, "2026-11-27"),
        ("2026-11-28T23:59:59", 30, "2026-10-29"),
    ],
)
def test_whole_days(now: str, days: int, before: str) -> None:
    assert cutoff(at(now), days) == at(before)


@pytest.mark.parametrize(
    ("now", "days", "before"),
    [
        ("2026-11-28T05:00", 1, "2026-11-01"),
        ("2026-11-28T05:00", 40, "2026-10-19"),
        ("2026-12-01T00:30", 1, "2026-11-01"),
        ("2026-12-01T01:00", 1, "2026-11-30"),
        ("2026-12-02T01:00", 1, "2026-12-01"),
    ],
)
def test_usage_of_the_present_month_stays(now: str, days: int, before: str) -> None:
    assert usage_cutoff(at(now), days) == at(before)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1)), st.integers(1, 4000), st.floats(-CLOCKS_S, CLOCKS_S))
def test_what_limits_are_seeded_from_is_never_removed(now: datetime, days: int, late: float) -> None:
    """By the clock of the limits, which is earlier or later by up to an hour."""
    here = now.replace(tzinfo=UTC).timestamp()
    removed = usage_cutoff(here, days)
    for kind in ("tokens_per_day", "spend_per_month"):
        since, _ = period(kind, min(here, here + late))
        assert removed <= since
    assert removed % 86_400 == 0 and here - removed >= timedelta(days=days).total_seconds()
