"""The decision over all counters of limits: takes, holds with leases, settling. Pure: `now` in Unix seconds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import inf

from server.stores.base import (
    LEASE_S,
    Charge,
    LimitKind,
    Outcome,
    Refused,
    Standing,
    StoreDown,
    Taken,
    Unseeded,
)
from server.stores.windows import NEW_WINDOW, Calendar, Slot, Window

MOST_COUNTERS = 100_000
EXPIRED_AT_ONCE = 64  # holds per step, so that no call pays for all that a killed process left
LOOKED_AT = 4  # counters per new one, so that forgetting is quicker than remembering
FOR_GOOD: frozenset[LimitKind] = frozenset(("requests_per_minute", "requests_per_day"))

Name = tuple[str, LimitKind]


class Held:
    """What an open call has taken: of which counter, in which slot of it, and how much, in the order of the charges."""

    __slots__ = ("charges", "expires", "slots", "windows")

    def __init__(self, expires: float, charges: Sequence[Charge], windows: list[Window], slots: list[Slot]) -> None:
        self.expires = expires
        self.charges = charges
        self.windows = windows
        self.slots = slots


class Counters:
    """Methods are those of `LimitStore` with the clock.

    Not more than `most` counters. One that holds nothing any more is forgotten when new ones come; if all are in use,
    calls under further limits get `StoreDown` rather than that a count is lost.
    """

    def __init__(self, most: int = MOST_COUNTERS) -> None:
        self._most = most
        self._windows: OrderedDict[Name, Window] = OrderedDict()
        self._held: dict[str, Held] = {}  # in the order of their expiry
        self._next_expiry = inf  # none expires before

    def __repr__(self) -> str:
        return f"[Limits: {len(self._windows)} counters, {len(self._held)} holds]"

    def take(self, hold_id: str, charges: Sequence[Charge], now: float) -> Outcome:
        """Raises `StoreDown` (full)."""
        if now >= self._next_expiry:
            self._expire(now)
        if hold_id in self._held:
            return Taken(self._standings(charges, now))
        windows = self._windows_of(charges, now)
        for charge, window in zip(charges, windows, strict=True):
            known = now < window.due or window.ready(now)
            if not known or (window.used + charge.amount > charge.limit and charge.amount):
                return _not_taken(charges, windows, now)
        slots: list[Slot] = []
        standings: list[Standing] = []
        for charge, window in zip(charges, windows, strict=True):
            slot = window.slot
            slot.amount += charge.amount
            window.used += charge.amount
            slots.append(slot)
            left = charge.limit - window.used
            standings.append(Standing(left if left > 0 else 0, window.reset(now)))
        self._held[hold_id] = Held(now + LEASE_S, charges, windows, slots)
        self._next_expiry = min(self._next_expiry, now + LEASE_S)
        return Taken(tuple(standings))

    def settle(self, hold_id: str, used: Sequence[int], now: float) -> None:
        if now >= self._next_expiry:
            self._expire(now)
        held = self._held.pop(hold_id, None)
        if held is None:
            return
        for charge, window, slot, real in zip(held.charges, held.windows, held.slots, used, strict=True):
            by = (0 if charge.kind == "concurrent_requests" else real) - charge.amount
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

    def seed(self, charges: Sequence[Charge], used: Sequence[int], at: float, now: float) -> None:
        """Raises `StoreDown` (full)."""
        for window, amount in zip(self._windows_of(charges, now), used, strict=True):
            if isinstance(window, Calendar):
                window.seed(amount, at, now)

    def forget_calendar(self) -> None:
        """Days and months are new again."""
        for name in [name for name, window in self._windows.items() if isinstance(window, Calendar)]:
            del self._windows[name]

    # Inside

    def _standings(self, charges: Sequence[Charge], now: float) -> tuple[Standing, ...]:
        """By name: what a hold knows of may have been forgotten meanwhile, and be a new one now."""
        standings: list[Standing] = []
        for charge in charges:
            window = self._windows.get((charge.scope, charge.kind))
            known = window is not None and window.roll(now)
            standings.append(_standing(charge, window, now) if window and known else Standing(charge.limit, 0.0))
        return tuple(standings)

    def _windows_of(self, charges: Sequence[Charge], now: float) -> list[Window]:
        try:
            return [self._windows[charge.scope, charge.kind] for charge in charges]
        except KeyError:
            self._forget_idle(LOOKED_AT * len(charges), now)
            return [self._windows.get((charge.scope, charge.kind)) or self._add(charge) for charge in charges]

    def _add(self, charge: Charge) -> Window:
        if len(self._windows) >= self._most:
            raise StoreDown(f"{self._most} limits are in use, and no more are counted in memory")
        window = self._windows[charge.scope, charge.kind] = NEW_WINDOW[charge.kind]()
        return window

    def _forget_idle(self, looked_at: int, now: float) -> None:
        for _ in range(min(looked_at, len(self._windows))):
            name, window = self._windows.popitem(last=False)
            if not window.idle(now):
                self._windows[name] = window

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
            for charge, window, slot in zip(held.charges, held.windows, held.slots, strict=True):
                if charge.kind not in FOR_GOOD:
                    window.roll(now)
                    if slot.counts:
                        slot.amount -= charge.amount
                        window.used -= charge.amount


def _not_taken(charges: Sequence[Charge], windows: Sequence[Window], now: float) -> Refused | Unseeded:
    new = tuple([index for index, window in enumerate(windows) if not window.roll(now)])
    if new:
        return Unseeded(new, now)
    waits = [_wait(charge, window, now) for charge, window in zip(charges, windows, strict=True)]
    longest = max(waits)
    index = waits.index(longest)
    return Refused(index, max(0, charges[index].limit - windows[index].used), None if longest == inf else longest)


def _wait(charge: Charge, window: Window, now: float) -> float:
    """-1 where it fits, infinity where it never does."""
    excess = window.used + charge.amount - charge.limit
    if excess <= 0 or not charge.amount:
        return -1.0
    return inf if charge.amount > charge.limit else window.wait(excess, now)


def _standing(charge: Charge, window: Window, now: float) -> Standing:
    left = charge.limit - window.used
    return Standing(left if left > 0 else 0, window.reset(now))
