"""The decision over all counters of limits: takes, holds with leases, settling. Pure: `now` in Unix seconds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import inf

from server.stores.base import (
    LEASE_S,
    LimitKind,
    Outcome,
    Quota,
    Quotas,
    Refused,
    Standings,
    StoreDown,
    Taken,
    Unseeded,
)
from server.stores.windows import NEW_WINDOW, Calendar, Slot, Window

MOST_COUNTERS = 100_000
MOST_KNOWN = 10_000  # sets of quotas whose counters are known by identity
EXPIRED_AT_ONCE = 64  # holds per step, so that no call pays for all that a killed process left
LOOKED_AT = 4  # counters per new one, so that forgetting is quicker than remembering
FOR_GOOD: frozenset[LimitKind] = frozenset(("requests_per_minute", "requests_per_day"))

Name = tuple[str, LimitKind]


class Account(Taken):
    """The counters of one set of quotas, made ready together: what is done once a second is not done for every call."""

    __slots__ = ("due", "limits", "now", "open", "quotas", "slots", "windows")

    def __init__(self, quotas: Quotas, windows: list[Window]) -> None:
        self.quotas = quotas
        self.windows = windows
        self.limits = [quota.limit for quota in quotas]
        self.open = [index for index, quota in enumerate(quotas) if quota.kind == "concurrent_requests"]
        self.slots: list[Slot] = []
        """Where what is taken now belongs. Replaced and never changed: holds keep it."""
        self.now = 0.0
        """When something was last taken."""
        self.due = 0.0
        """Before this moment there is nothing to do for `ready`. None of the counters can be due earlier, whoever else
        uses them: what makes one due, a new second or day, makes this one due."""

    def tightest(self, indexes: Sequence[int]) -> tuple[int, int, float]:
        limits, windows = self.limits, self.windows
        tightest = indexes[0]
        least = limits[tightest] - windows[tightest].used
        for index in indexes[1:]:
            left = limits[index] - windows[index].used
            if left < least:
                tightest, least = index, left
        return tightest, max(0, least), windows[tightest].reset(self.now)

    def ready(self, now: float) -> bool:
        """Something will be taken now. False if what a day or month has used is not known."""
        known = [window.ready(now) for window in self.windows]
        if not all(known):
            self.due = 0.0
            return False
        self.slots = [window.slot for window in self.windows]
        self.due = min([window.due for window in self.windows], default=inf)
        return True


class Held:
    """What an open call has taken: of which counters, in which slots of them, and how much, in the quotas' order."""

    __slots__ = ("account", "amounts", "expires", "slots")

    def __init__(self, expires: float, account: Account, amounts: Sequence[int], slots: list[Slot]) -> None:
        self.expires = expires
        self.account = account
        self.amounts = amounts
        self.slots = slots


class Counters:
    """Methods are those of `LimitStore` with the clock.

    Not more than `most` counters. One that holds nothing any more is forgotten when new ones come; if all are in use,
    calls under further limits get `StoreDown` rather than that a count is lost.
    """

    def __init__(self, most: int = MOST_COUNTERS) -> None:
        self._most = most
        self._windows: OrderedDict[Name, Window] = OrderedDict()
        self._known: dict[int, Account] = {}  # by identity: to look for six names costs every call
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
        account = self._known.get(id(quotas))
        if account is None or account.quotas is not quotas:
            account = self._account_of(quotas, now)
        windows = account.windows
        if now >= account.due and not account.ready(now):
            return _not_taken(quotas, amounts, windows, now)
        slots = account.slots
        for limit, amount, window, slot in zip(account.limits, amounts, windows, slots, strict=True):
            used = window.used + amount
            if used > limit and amount:
                full = window
                break
            window.used = used
            slot.amount += amount
        else:
            expires = now + LEASE_S
            self._held[hold_id] = Held(expires, account, amounts, slots)
            self._next_expiry = min(self._next_expiry, expires)
            account.now = now
            return account
        for amount, window, slot in zip(amounts, windows, slots, strict=True):  # all or nothing
            if window is full:
                break
            window.used -= amount
            slot.amount -= amount
        return _not_taken(quotas, amounts, windows, now)

    def settle(self, hold_id: str, used: Sequence[int], now: float) -> None:
        if now >= self._next_expiry:
            self._expire(now)
        held = self._held.pop(hold_id, None)
        if held is None:
            return
        account = held.account
        for index in account.open:
            if used[index]:
                used = [0 if index in account.open else one for index, one in enumerate(used)]
        due = now >= account.due
        for real, amount, window, slot in zip(used, held.amounts, account.windows, held.slots, strict=True):
            by = real - amount
            if by:
                if due:
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
        for window, amount in zip(self._account_of(quotas, now).windows, used, strict=True):
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
        return Standings(remaining, resets)

    def _account_of(self, quotas: Quotas, now: float) -> Account:
        """Known by identity from now on. Raises `StoreDown` (full)."""
        names: list[Name] = [(quota.scope, quota.kind) for quota in quotas]
        if any(name not in self._windows for name in names):
            self._forget_idle(LOOKED_AT * len(names), now)
        account = Account(quotas, [self._windows.get(name) or self._add(name) for name in names])
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[id(quotas)] = account
        return account

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
            account = held.account
            for quota, amount, window, slot in zip(
                account.quotas, held.amounts, account.windows, held.slots, strict=True
            ):
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
