"""Whether the clocks of those that work together agree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from server.commands.doctor.verdict import Verdict, fail, ok, warn

CLOSE_S = 5.0
FAR_S = 60.0
WAY_OUT = "let both keep time by NTP (timedatectl shows it)"


class Clock(NamedTuple):
    """`ahead_s` of ours; `whose` is for people."""

    whose: str
    ahead_s: float


def judge_clocks(clocks: Iterable[Clock]) -> Iterator[Verdict]:
    """Where a clock is wrong, keys expire and days of limits begin at the wrong moment, and logs cannot be compared."""
    good: list[str] = []
    for clock in clocks:
        off = abs(clock.ahead_s)
        if off <= CLOSE_S:
            good.append(clock.whose)
            continue
        text = f"the clock of {clock.whose} is {off:.0f} s {'ahead' if clock.ahead_s > 0 else 'behind'}"
        yield (fail if off > FAR_S else warn)("clock", text, WAY_OUT)
    if good:
        yield ok("clock", f"the clock agrees with {', '.join(good)}")
