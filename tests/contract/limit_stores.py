"""What the tests of limits share: a clock that they move, stores behind a synchronous front, and short names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from server.limits.shared import now_or_later
from server.stores.base import LimitKind, LimitStore, Outcome, Quota, Quotas, Refused, Taken, Unseeded
from server.stores.redis import RedisLimits

NOON = 1_795_608_000.0  # 25 November 2026, 12:00 UTC
MIDNIGHT = NOON + 43_200
PATIENT_S = 30.0  # with a machine that is busy with other tests
DECEMBER = MIDNIGHT + 5 * 86_400


class Charge(NamedTuple):
    """What is asked of one limit."""

    scope: str
    kind: LimitKind
    limit: int
    amount: int


class Standing(NamedTuple):
    remaining: int
    reset_s: float


class Granted(NamedTuple):
    """`Taken` by limit."""

    standings: tuple[Standing, ...]


def quotas(charges: Sequence[Charge]) -> Quotas:
    return tuple([Quota(one.scope, one.kind, one.limit) for one in charges])


def asked(charges: Sequence[Charge]) -> tuple[Quotas, list[int]]:
    """As a store takes it."""
    return quotas(charges), [one.amount for one in charges]


def told(outcome: Outcome, number: int) -> Granted | Refused | Unseeded:
    """Of so many quotas."""
    if not isinstance(outcome, Taken):
        return outcome
    return Granted(tuple([Standing(*outcome.tightest((index,))[1:]) for index in range(number)]))


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Store:
    """A `LimitStore` whose answers are here when the call returns."""

    def __init__(self, store: LimitStore, runner: asyncio.Runner, clock: Clock) -> None:
        self._store = store
        self._runner = runner
        self.clock = clock

    def take(self, hold_id: str, *charges: Charge) -> Granted | Refused | Unseeded:
        return self._runner.run(take(self._store, hold_id, charges))

    def settle(self, hold_id: str, charges: Sequence[Charge], used: Sequence[int]) -> tuple[Standing, ...]:
        """How the limits stand then."""
        self._runner.run(now_or_later(self._store.settle(hold_id, quotas(charges), used)))
        return tuple([self._runner.run(standing(self._store, one)) for one in charges])

    def renew(self, *hold_ids: str) -> None:
        renewed = self._store.renew(hold_ids)
        if renewed is not None:
            self._runner.run(now_or_later(renewed))

    def seed(self, charges: Sequence[Charge], used: Sequence[int], at: float) -> None:
        seeded = self._store.seed(quotas(charges), used, at)
        if seeded is not None:
            self._runner.run(now_or_later(seeded))

    def close(self) -> None:
        self._runner.run(self._store.close())


async def take(store: LimitStore, hold_id: str, charges: Sequence[Charge]) -> Granted | Refused | Unseeded:
    return told(await now_or_later(store.take(hold_id, *asked(charges))), len(charges))


async def standing(store: LimitStore, charge: Charge) -> Standing:
    """Seen by a call that takes nothing. A day or month that is not known has used nothing."""
    nothing = charge._replace(amount=0)
    outcome = await take(store, "looking", [nothing])
    await now_or_later(store.settle("looking", quotas([nothing]), [0]))
    return outcome.standings[0] if isinstance(outcome, Granted) else Standing(charge.limit, 0.0)


def shared_limits(url: str, clock: Clock | None) -> RedisLimits:
    """With counters of its own on that server."""
    return RedisLimits(url, prefix=f"{{portico}}:{uuid4().hex}:", clock=clock, command_s=PATIENT_S)


def charge(kind: LimitKind, limit: int, amount: int = 1, scope: str = "key:a") -> Charge:
    return Charge(scope, kind, limit, amount)


def tokens(limit: int, amount: int, scope: str = "key:a") -> Charge:
    return charge("tokens_per_minute", limit, amount, scope)
