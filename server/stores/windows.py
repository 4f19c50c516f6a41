"""What is counted against one limit: any 60 seconds, a calendar day or month, or requests that are open.

Pure: `now` is passed in, Unix seconds. `redis.py` does the same in Lua, to the letter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Protocol

from server.stores.base import LimitKind

MINUTE_S = 60
DAY_S = 86_400
GUESS_S = 1.0  # when an open request ends is anybody's guess
Bounds = Callable[[float], tuple[int, int]]


class Slot:
    """What was taken in one second, or which day or month it was. A hold remembers it, to correct it there.

    `until`: when what was taken in it no longer counts.
    """

    __slots__ = ("amount", "start", "until")

    def __init__(self, start: int, until: float) -> None:
        self.start = start
        self.until = until
        self.amount = 0


class Window(Protocol):
    used: int
    """What counts, as of the last `roll`."""
    due: float
    """Before this moment there is nothing for `roll` to do; 0 where it always has to look."""

    def roll(self, now: float) -> bool:
        """Drop what no longer counts. False if what counts is not known. To be called before the other methods."""
        ...

    def take(self, amount: int, now: float) -> Slot: ...

    def correct(self, slot: Slot, by: int) -> None: ...

    def wait(self, excess: int, now: float) -> float:
        """Seconds until `excess` of what is used no longer counts."""
        ...

    def reset(self, now: float) -> float:
        """Seconds until nothing that is used counts any more."""
        ...

    def idle(self, now: float) -> bool:
        """It can be forgotten without a difference."""
        ...


class Minute:
    """Any 60 seconds. What is taken in second s counts until s + 61, so for 60 to 61 seconds.

    A running total beside a queue of the seconds in which something was taken: each is added and dropped once.
    """

    __slots__ = ("_seconds", "due", "used")

    def __init__(self) -> None:
        self.used = 0
        self.due = inf
        self._seconds: deque[Slot] = deque()

    def roll(self, now: float) -> bool:
        seconds = self._seconds
        while seconds and seconds[0].until <= now:
            self.used -= seconds.popleft().amount
        self.due = seconds[0].until if seconds else inf
        return True

    def take(self, amount: int, now: float) -> Slot:
        seconds = self._seconds
        slot = seconds[-1] if seconds else None
        if slot is None or slot.start + 1 <= now:  # after a clock was set back, the last one goes on
            slot = Slot(int(now), int(now) + MINUTE_S + 1)
            if not seconds:
                self.due = slot.until
            seconds.append(slot)
        slot.amount += amount
        self.used += amount
        return slot

    def correct(self, slot: Slot, by: int) -> None:
        seconds = self._seconds
        if seconds and slot.start >= seconds[0].start:
            slot.amount += by
            self.used += by

    def wait(self, excess: int, now: float) -> float:
        for slot in self._seconds:
            excess -= slot.amount
            if excess <= 0:
                return slot.until - now
        return 0.0

    def reset(self, now: float) -> float:
        if not self.used:
            return 0.0
        last = self._seconds[-1]
        if not last.amount:
            last = next(slot for slot in reversed(self._seconds) if slot.amount)
        return last.until - now

    def idle(self, now: float) -> bool:
        self.roll(now)
        return not self._seconds


class Calendar:
    """A day or a month, UTC. Not known until it is seeded."""

    __slots__ = ("_bounds", "_slot", "due", "used")

    def __init__(self, bounds: Bounds) -> None:
        self.used = 0
        self.due = 0.0  # the end, or not known
        self._bounds = bounds
        self._slot = Slot(0, 0)

    def roll(self, now: float) -> bool:
        if self._slot.start <= now < self.due:
            return True
        self.used = 0
        self.due = 0.0
        return False

    def seed(self, amount: int, at: float, now: float) -> None:
        start, end = self._bounds(now)
        if not self.roll(now) and start <= at < end:
            self._slot, self.due, self.used = Slot(start, end), end, amount

    def take(self, amount: int, now: float) -> Slot:
        self.used += amount
        return self._slot

    def correct(self, slot: Slot, by: int) -> None:
        if slot.start == self._slot.start and self.due:
            self.used += by

    def wait(self, excess: int, now: float) -> float:
        return self.due - now

    def reset(self, now: float) -> float:
        return self.due - now if self.used else 0.0

    def idle(self, now: float) -> bool:
        return not self.roll(now)


class Open:
    """Requests that are open."""

    __slots__ = ("_slot", "due", "used")

    def __init__(self) -> None:
        self.used = 0
        self.due = inf
        self._slot = Slot(0, 0)

    def roll(self, now: float) -> bool:
        return True

    def take(self, amount: int, now: float) -> Slot:
        self.used += amount
        return self._slot

    def correct(self, slot: Slot, by: int) -> None:
        self.used += by

    def wait(self, excess: int, now: float) -> float:
        return GUESS_S

    def reset(self, now: float) -> float:
        return GUESS_S if self.used else 0.0

    def idle(self, now: float) -> bool:
        return not self.used


def day(now: float) -> tuple[int, int]:
    """Beginning and end of the day (UTC) of `now`."""
    start = int(now // DAY_S) * DAY_S
    return start, start + DAY_S


def month(now: float) -> tuple[int, int]:
    """Beginning and end of the month (UTC) of `now`."""
    first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=31)).replace(day=1)
    return int(first.timestamp()), int(following.timestamp())


NEW_WINDOW: dict[LimitKind, Callable[[], Window]] = {
    "requests_per_minute": Minute,
    "tokens_per_minute": Minute,
    "requests_per_day": lambda: Calendar(day),
    "tokens_per_day": lambda: Calendar(day),
    "spend_per_month": lambda: Calendar(month),
    "concurrent_requests": Open,
}
