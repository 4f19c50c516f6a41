"""What is counted against one limit: any 60 seconds, a calendar day or month, or requests that are open.

Pure: `now` is passed in, Unix seconds. `redis.py` does the same in Lua, to the letter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf

from server.stores.base import LimitKind

MINUTE_S = 60
DAY_S = 86_400
GUESS_S = 1.0  # when an open request ends is anybody's guess
Bounds = Callable[[float], tuple[int, int]]


class Slot:
    """What was taken in one second, or in a day or month. A hold remembers it, to correct it there.

    `until`: when what was taken in it no longer counts. `counts`: it still does.
    """

    __slots__ = ("amount", "counts", "start", "until")

    def __init__(self, start: int, until: float, *, counts: bool = True) -> None:
        self.start = start
        self.until = until
        self.amount = 0
        self.counts = counts


class Window:
    """What is counted. Whoever takes adds to `used` and to `slot.amount` himself: that is all it is, mostly."""

    __slots__ = ("due", "slot", "used")

    def __init__(self, slot: Slot, due: float) -> None:
        self.used = 0
        """What counts, as of the last `roll`."""
        self.slot = slot
        """Where what is taken now belongs, as of the last `ready`."""
        self.due = due
        """Before this moment there is nothing to do for `roll` and `ready`."""

    def roll(self, now: float) -> bool:
        """Drop what no longer counts. False if what counts is not known."""
        return True

    def ready(self, now: float) -> bool:
        """The same, and something will be taken now."""
        return self.roll(now)

    def wait(self, excess: int, now: float) -> float:
        """Seconds until `excess` of what is used no longer counts."""
        raise NotImplementedError

    def reset(self, now: float) -> float:
        """Seconds until nothing that is used counts any more."""
        raise NotImplementedError

    def idle(self, now: float) -> bool:
        """It can be forgotten without a difference."""
        raise NotImplementedError


class Minute(Window):
    """Any 60 seconds. What is taken in second s counts until s + 61, so for 60 to 61 seconds.

    A running total beside a queue of the seconds in which something was taken: each is added and dropped once.
    """

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        super().__init__(Slot(0, 0, counts=False), 0.0)
        self._seconds: deque[Slot] = deque()

    def roll(self, now: float) -> bool:
        seconds = self._seconds
        while seconds and seconds[0].until <= now:
            old = seconds.popleft()
            old.counts = False
            self.used -= old.amount
        self.due = min(seconds[0].until, self.slot.start + 1) if seconds else 0.0
        return True

    def ready(self, now: float) -> bool:
        self.roll(now)
        if not self.slot.counts or self.slot.start + 1 <= now:  # after a clock was set back, the last one goes on
            second = int(now)
            self.slot = Slot(second, second + MINUTE_S + 1)
            self._seconds.append(self.slot)
            self.due = min(self._seconds[0].until, second + 1)
        return True

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


class Calendar(Window):
    """A day or a month, UTC. Not known until it is seeded."""

    __slots__ = ("_bounds",)

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(Slot(0, 0, counts=False), 0.0)
        self._bounds = bounds

    def roll(self, now: float) -> bool:
        if self.slot.start <= now < self.due:
            return True
        self.slot.counts = False
        self.used = 0
        self.due = 0.0
        return False

    def seed(self, amount: int, at: float, now: float) -> None:
        start, end = self._bounds(now)
        if not self.roll(now) and start <= at < end:
            self.slot, self.due, self.used = Slot(start, end), float(end), amount

    def wait(self, excess: int, now: float) -> float:
        return self.due - now

    def reset(self, now: float) -> float:
        return self.due - now if self.used else 0.0

    def idle(self, now: float) -> bool:
        return not self.roll(now)


class Open(Window):
    """Requests that are open."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(Slot(0, inf), inf)

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
