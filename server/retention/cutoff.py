"""Before which moment a record is old. Pure; all in Unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime

DAY_S = 86_400
CLOCKS_S = 3600
"""For so long after its end a month is still taken for the present one: the clock of the limits may be another."""


def cutoff(now: float, days: int) -> int:
    """The beginning of a day (UTC): records are kept for `days` whole days, and up to one more."""
    return (int(now) // DAY_S - days) * DAY_S


def usage_cutoff(now: float, days: int) -> int:
    """Never within the present month, which limits are seeded from (limits/seeding.py)."""
    month = datetime.fromtimestamp(now - CLOCKS_S, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return min(cutoff(now, days), int(month.timestamp()))
