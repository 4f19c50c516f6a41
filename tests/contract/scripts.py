"""Random scripts of what is asked of a store of limits, and how one is played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from server.stores.base import LimitKind, Unseeded
from tests.contract.limit_stores import Charge, Store

LIMITS: dict[LimitKind, int] = {
    "requests_per_minute": 4,
    "tokens_per_minute": 100,
    "requests_per_day": 9,
    "tokens_per_day": 300,
    "spend_per_month": 1000,
    "concurrent_requests": 2,
}


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Take:
    charges: tuple[Charge, ...]


@dataclass(frozen=True)
class Again:
    """The same hold with the same charges; `which` of the last ones, here and below."""

    which: int


@dataclass(frozen=True)
class Settle:
    which: int
    used: tuple[int, ...]


@dataclass(frozen=True)
class Renew:
    which: tuple[int, ...]


Step = Wait | Take | Again | Settle | Renew


def _charge(draw: st.DrawFn, scope: str, kind: LimitKind) -> Charge:
    one = kind in ("requests_per_minute", "requests_per_day", "concurrent_requests")
    amount = 1 if one else draw(st.integers(0, LIMITS[kind] + 1) | st.integers(0, LIMITS[kind] // 4))
    return Charge(scope, kind, LIMITS[kind] + draw(st.sampled_from((0, 0, 0, 1, -1))), amount)


@st.composite
def takes(draw: st.DrawFn) -> Take:
    names = st.tuples(st.sampled_from(("key:a", "project:p")), st.sampled_from(sorted(LIMITS)))
    chosen = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    return Take(tuple(_charge(draw, scope, kind) for scope, kind in chosen))


WHICH = st.integers(1, 4)


WAITS = st.builds(
    Wait,
    st.sampled_from((0.0, 0.1, 0.5, 0.75, 1.0, 7.3, 30.0, 59.25, 60.0, 60.9, 61.0, 3600.0, 40_000.5))
    | st.floats(0, 62, allow_subnormal=False),
)
SETTLES = st.builds(Settle, WHICH, st.tuples(*[st.integers(0, 150)] * 5))
RENEWALS = st.builds(Renew, st.lists(WHICH, max_size=3, unique=True).map(tuple))
AGAIN = st.builds(Again, WHICH)
SCRIPTS = st.lists(
    st.one_of(takes(), takes(), takes(), WAITS, WAITS, SETTLES, RENEWALS, AGAIN), min_size=5, max_size=30
)


class Player:
    """Plays a script; settles with the charges that were taken, seeds what is asked for."""

    def __init__(self, store: Store, name: str = "") -> None:
        self._store = store
        self._name = name
        self._asked: list[tuple[Charge, ...]] = []

    def play(self, script: Sequence[Step]) -> list[object]:
        return [self.step(one) for one in script]

    def step(self, step: Step) -> object:
        store = self._store
        if isinstance(step, Wait):
            store.clock.now += step.seconds
            return None
        if isinstance(step, Take):
            self._asked.append(step.charges)
            return self._take(1)
        if isinstance(step, Renew):
            return store.renew(*[self._hold(which)[0] for which in step.which])
        if isinstance(step, Again):
            return self._take(step.which)
        hold_id, charges = self._hold(step.which)
        return store.settle(hold_id, charges, step.used[: len(charges)])

    def _take(self, which: int) -> object:
        hold_id, charges = self._hold(which)
        outcome = self._store.take(hold_id, *charges)
        if not isinstance(outcome, Unseeded):
            return outcome
        new = [charges[index] for index in outcome.indexes]
        self._store.seed(new, [one.limit // 5 for one in new], outcome.at)
        return outcome, self._store.take(hold_id, *charges)

    def _hold(self, which: int) -> tuple[str, tuple[Charge, ...]]:
        index = len(self._asked) - which
        return f"{self._name}{index}", self._asked[index] if index >= 0 else ()
