"""The decision over all counters of limits: takes, holds with leases, settling. Pure: `now` in Unix seconds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import inf

from server.stores.base import LEASE_S, LimitKind, Outcome, Quota, Quotas, Refused, StoreDown, Taken, Unseeded
from server.stores.windows import NEW_WINDOW, Calendar, Slot, Window

MOST_COUNTERS = 100_000
MOST_KNOWN = 10_000  # sets of quotas whose counters are known by identity
EXPIRED_AT_ONCE = 64  # holds per step, so that no call pays for all that a killed process left
LOOKED_AT = 4  # counters per new one, so that forgetting is quicker than remembering
FOR_GOOD: frozenset[LimitKind] = frozenset(("requests_per_minute", "requests_per_day"))

Name = tuple[str, LimitKind]


class Held:
    """What an open call has taken: of which counter, in which slot of it, and how much, in the order of the quotas."""

    __slots__ = ("amounts", "expires", "quotas", "slots", "windows")

    def __init__(
        self, expires: float, quotas: Quotas, amounts: Sequence[int], windows: Sequence[Window], slots: list[Slot]
    ) -> None:
        self.expires = expires
        self.quotas = quotas
        self.amounts = amounts
        self.windows = windows
        self.slots = slots


class Remaining:
    """Of each limit, told when asked: who takes asks for a few of them."""

    __slots__ = ("_quotas", "_windows")

    def __init__(self, quotas: Quotas, windows: Sequence[Window]) -> None:
        self._quotas = quotas
        self._windows = windows

    def __getitem__(self, index: int, /) -> int:
        left = self._quotas[index].limit - self._windows[index].used
        return left if left > 0 else 0


class Resets:
    """When each counter is back at nothing, in seconds."""

    __slots__ = ("_now", "_windows")

    def __init__(self, windows: Sequence[Window], now: float) -> None:
        self._windows = windows
        self._now = now

    def __getitem__(self, index: int, /) -> float:
        return self._windows[index].reset(self._now)


class Counters:
    """Methods are those of `LimitStore` with the clock.

    Not more than `most` counters. One that holds nothing any more is forgotten when new ones come; if all are in use,
    calls under further limits get `StoreDown` rather than that a count is lost.
    """

    def __init__(self, most: int = MOST_COUNTERS) -> None:
        self._most = most
        self._windows: OrderedDict[Name, Window] = OrderedDict()
        self._known: dict[int, tuple[Quotas, list[Window]]] = {}  # by identity: to look for six names costs every call
        self._held: dict[str, Held] = {}  # in the order of their expiry
        self._next_expiry = inf  # none expires before

    def __repr__(self) -> str:
        return f"[Limits: {len(self._windows)} counters, {len(self._held)} holds]"

    def take(self, hold_id: str, quotas: Quotas, amounts: Sequence[int], now: float) -> Outcome:
        """Raises `StoreDown` (full)."""
        if now >= self._next_expiry:
            self._expire(now)
        if hold_id in self._held:
            return self._standing(quotas, now)
        windows = self._windows_of(quotas, now)
        done = 0
        for quota, amount, window in zip(quotas, amounts, windows, strict=True):
            if now >= window.due and not window.ready(now):
                break
            used = window.used + amount
            if used > quota.limit and amount:
                break
            window.used = used
            window.slot.amount += amount
            done += 1
        else:
            expires = now + LEASE_S
            self._held[hold_id] = Held(expires, quotas, amounts, windows, [window.slot for window in windows])
            self._next_expiry = min(self._next_expiry, expires)
            return Taken(Remaining(quotas, windows), Resets(windows, now))
        for amount, window in zip(amounts[:done], windows, strict=False):  # all or nothing
            window.used -= amount
            window.slot.amount -= amount
        return _not_taken(quotas, amounts, windows, now)

    def settle(self, hold_id: str, used: Sequence[int], now: float) -> None:
        if now >= self._next_expiry:
            self._expire(now)
        held = self._held.pop(hold_id, None)
        if held is None:
            return
        for quota, amount, window, slot, real in zip(
            held.quotas, held.amounts, held.windows, held.slots, used, strict=True
        ):
            by = (0 if quota.kind == "concurrent_requests" else real) - amount
            if by:
                if now >= window.due:
                    window.roll(now)
                if slot.counts:
                    slot.amount += by
                    window.used += by

    def renew(self, hold_ids: Sequence[str], now: float) -> None:
        if now >= self._next_expiry:
            self._expire(now)
        for hold_id in hold_ids:
            held = self._held.pop(hold_id, None)
            if held is not None:
                held.expires = now + LEASE_S
                self._held[hold_id] = held
        if self._held:
            self._next_expiry = min(self._next_expiry, now + LEASE_S)

    def seed(self, quotas: Quotas, used: Sequence[int], at: float, now: float) -> None:
        """Raises `StoreDown` (full)."""
        for window, amount in zip(self._windows_of(quotas, now), used, strict=True):
            if isinstance(window, Calendar):
                window.seed(amount, at, now)

    def forget_calendar(self) -> None:
        """Days and months are new again."""
        self._known.clear()
        for name in [name for name, window in self._windows.items() if isinstance(window, Calendar)]:
            del self._windows[name]

    # Inside

    def _standing(self, quotas: Quotas, now: float) -> Taken:
        """By name: what a hold knows of may have been forgotten meanwhile, and be a new one now."""
        remaining: list[int] = []
        resets: list[float] = []
        for quota in quotas:
            window = self._windows.get((quota.scope, quota.kind))
            known = window is not None and window.roll(now)
            remaining.append(max(0, quota.limit - window.used) if window and known else quota.limit)
            resets.append(window.reset(now) if window and known else 0.0)
        return Taken(remaining, resets)

    def _windows_of(self, quotas: Quotas, now: float) -> list[Window]:
        known = self._known.get(id(quotas))
        if known is not None and known[0] is quotas:
            return known[1]
        names: list[Name] = [(quota.scope, quota.kind) for quota in quotas]
        if any(name not in self._windows for name in names):
            self._forget_idle(LOOKED_AT * len(names), now)
        windows = [self._windows.get(name) or self._add(name) for name in names]
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[id(quotas)] = quotas, windows
        return windows

    def _add(self, name: Name) -> Window:
        if len(self._windows) >= self._most:
            raise StoreDown(f"{self._most} limits are in use, and no more are counted in memory")
        window = self._windows[name] = NEW_WINDOW[name[1]]()
        return window

    def _forget_idle(self, looked_at: int, now: float) -> None:
        before = len(self._windows)
        for _ in range(min(looked_at, before)):
            name, window = self._windows.popitem(last=False)
            if not window.idle(now):
                self._windows[name] = window
        if len(self._windows) < before:
            self._known.clear()

    def _expire(self, now: float) -> None:
        expired: list[str] = []
        self._next_expiry = inf
        for hold_id, held in self._held.items():
            if held.expires > now or len(expired) == EXPIRED_AT_ONCE:
                self._next_expiry = held.expires
                break
            expired.append(hold_id)
        for hold_id in expired:
            held = self._held.pop(hold_id)
            for quota, amount, window, slot in zip(held.quotas, held.amounts, held.windows, held.slots, strict=True):
                if quota.kind not in FOR_GOOD:
                    window.roll(now)
                    if slot.counts:
                        slot.amount -= amount
                        window.used -= amount


def _not_taken(quotas: Quotas, amounts: Sequence[int], windows: Sequence[Window], now: float) -> Refused | Unseeded:
    new = tuple([index for index, window in enumerate(windows) if not window.roll(now)])
    if new:
        return Unseeded(new, now)
    waits = [_wait(*one, now) for one in zip(quotas, amounts, windows, strict=True)]
    longest = max(waits)
    index = waits.index(longest)
    return Refused(index, max(0, quotas[index].limit - windows[index].used), None if longest == inf else longest)


def _wait(quota: Quota, amount: int, window: Window, now: float) -> float:
    """-1 where it fits, infinity where it never does."""
    excess = window.used + amount - quota.limit
    if excess <= 0 or not amount:
        return -1.0
    return inf if amount > quota.limit else window.wait(excess, now)
