"""Virtual token counters of the tenants in one class: what each was given, and who was given least. Pure.

After Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024), Algorithm 2, weighted: a counter is charged
with tokens divided by the tenant's weight. A tenant that begins to wait is lifted to the least counter of those that
wait already, or, where nobody does, to that of the tenant served last: time without work earns no credit.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

MAX_ACCOUNTS = 4096


class Numbered(Protocol):
    """Something that waits; the older, the smaller its number."""

    number: int


Item = TypeVar("Item", bound=Numbered)
_number = attrgetter("number")


class Account(Generic[Item]):
    """One tenant: its counter (tokens / weight), its waiting calls from old to new, how many it has running."""

    __slots__ = ("counter", "running", "tenant", "waiting", "weight")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.weight = 1.0
        self.counter = 0.0
        self.running = 0
        self.waiting: list[Item] = []

    def charge(self, tokens: float) -> None:
        """`tokens` are weighted by kind already; below zero they are given back."""
        self.counter += tokens / self.weight


class Counters(Generic[Item]):
    """The accounts of one class. Those of idle tenants (nothing waits or runs) are kept within `max_accounts`."""

    def __init__(self, max_accounts: int = MAX_ACCOUNTS) -> None:
        self._max = max_accounts
        self._accounts: dict[str, Account[Item]] = {}
        self.last: Account[Item] | None = None  # served last
        self._running = 0
        self.waiting: dict[str, Account[Item]] = {}  # those with waiting calls

    def __len__(self) -> int:
        return len(self._accounts)

    def active(self) -> Iterator[Account[Item]]:
        """The accounts that are not idle."""
        return (account for account in self._accounts.values() if account.waiting or account.running)

    def runs(self, tenant: str) -> bool:
        account = self._accounts.get(tenant)
        return account is not None and account.running > 0

    def join(self, tenant: str, weight: float) -> Account[Item]:
        """The account for another call of a tenant, lifted if none of its calls waits."""
        account = self._accounts.get(tenant)
        if account is None:
            if len(self._accounts) >= self._max:
                self._forget()
            account = self._accounts[tenant] = Account(tenant)
        account.weight = weight
        if not account.waiting:
            self._lift(account)
        return account

    def add(self, account: Account[Item], item: Item) -> None:
        """`item` waits."""
        insort(account.waiting, item, key=_number)
        self.waiting[account.tenant] = account

    def remove(self, account: Account[Item], item: Item) -> None:
        """`item` waits no longer."""
        del account.waiting[bisect_left(account.waiting, item.number, key=_number)]
        if not account.waiting:
            del self.waiting[account.tenant]
            self._reset_if_idle()

    def begin(self, account: Account[Item], tokens: float) -> None:
        """A call of the account runs from here on, and is charged so much at once."""
        account.charge(tokens)
        account.running += 1
        self._running += 1
        self.last = account

    def end(self, account: Account[Item]) -> None:
        """One of its calls has ended."""
        account.running -= 1
        self._running -= 1
        self._reset_if_idle()

    def _lift(self, account: Account[Item]) -> None:
        if self.waiting:
            floor = min(one.counter for one in self.waiting.values())
        elif self.last is not None:
            floor = self.last.counter
        else:
            return
        account.counter = max(account.counter, floor)

    def _reset_if_idle(self) -> None:
        """With nobody there nobody is ahead."""
        if not self._running and not self.waiting:
            self._accounts.clear()
            self.last = None

    def _forget(self) -> None:
        """Drop idle accounts, the least charged first, down to half: those below the floor would be lifted anyway."""
        idle = [account for account in self._accounts.values() if not (account.waiting or account.running)]
        idle.sort(key=attrgetter("counter"))
        for account in idle[: max(0, len(self._accounts) - self._max // 2)]:
            del self._accounts[account.tenant]
