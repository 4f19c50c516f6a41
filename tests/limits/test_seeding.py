from __future__ import annotations

from datetime import UTC, datetime

import pytest

from server.limits.seeding import period
from server.stores.base import LimitKind


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("kind", "now", "begin", "end"),
    [
        ("requests_per_day", "2026-11-25T13:14:15.9", "2026-11-25", "2026-11-26"),
        ("tokens_per_day", "2026-12-31T23:59:59.999", "2026-12-31", "2027-01-01"),
        ("tokens_per_day", "2026-12-31T00:00:00", "2026-12-31", "2027-01-01"),
        ("spend_per_month", "2026-12-31T23:59:59.999", "2026-12-01", "2027-01-01"),
        ("spend_per_month", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
        ("spend_per_month", "2026-01-01T00:00:00", "2026-01-01", "2026-02-01"),
    ],
)
def test_days_and_months_of_the_calendar(kind: LimitKind, now: str, begin: str, end: str) -> None:
    assert period(kind, at(now)) == (at(begin), at(end))
