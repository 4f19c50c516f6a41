"""How long to leave alone what fails. Pure."""

from __future__ import annotations


def doubled(interval: float, failures: int, longest: float) -> float:
    """`interval` while nothing fails; then twice as long after each of so many failures in a row, up to `longest`."""
    return min(longest, interval * 2 ** min(failures, 10)) if failures else interval
