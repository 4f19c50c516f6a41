"""The hold on what a call may use: taken before dispatch, settled however the call ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from server.call import Call
from server.config import Limits
from server.errors import StoreUnavailable
from server.limits.headers import rate_state, rate_state_of_refusal
from server.limits.plan import COUNTED, Plan, amounts, answer_tokens, plan_of, requests_plan_of, used
from server.limits.refusal import refusal
from server.limits.seeding import Totals, used_so_far
from server.limits.shared import now_or_later
from server.stores.base import LimitStore, Outcome, Quotas, Refused, StoreDown, Taken, Unseeded

RENEW_S = 15.0  # a quarter of the lease
MOST_TRIES = 4  # a count that was new, an exact count, and once more of each
NOT_SETTLED = "limits: a call could not be settled; its hold will expire: %s"
log = logging.getLogger("portico")

Failed = Callable[[Exception], None]


class TokenCounter(Protocol):
    """Counts the tokens of a call's prompt."""

    def upper_bound(self, call: Call) -> int:
        """Never less than `count`, and cheap."""
        ...

    def count(self, call: Call) -> int | Awaitable[int]:
        """What the engine will count; later where the prompt is long."""
        ...


class Limiter:
    """`hold` of a call, or None where nothing limits it. `refused(kind)` counts refusals."""

    def __init__(
        self,
        store: LimitStore,
        totals: Totals,
        counter: TokenCounter,
        settings: Limits,
        refused: Callable[[str], None],
    ) -> None:
        self.store = store
        self.totals = totals
        self.counter = counter
        self.settings = settings
        self.refused = refused
        self.open: set[Hold] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewed = 0.0

    def hold(self, call: Call) -> Hold | None:
        plan = plan_of(call.key, call.model)
        return Hold(self, call, plan) if plan.quotas else None

    def counted(self, call: Call) -> Counted:
        """A call that no model serves, while it lasts."""
        return Counted(self, call)

    def tick(self, now: float) -> None:
        """Called by the watchdog: holds of open calls do not expire."""
        if now - self._renewed < RENEW_S:
            return
        self._renewed = now
        ids = [hold.id for hold in self.open]
        if ids:
            self.spawn(self._renew(ids), "renew holds")

    @property
    def degraded(self) -> bool:
        """Whether limits are enforced without their shared store."""
        return self.store.degraded

    async def start(self) -> None:
        """Nothing has to be begun."""

    async def stop(self) -> None:
        """What is still to be settled is settled."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    async def _renew(self, ids: Sequence[str]) -> None:
        try:
            await now_or_later(self.store.renew(ids))
        except StoreDown as error:
            log.warning("limits: open calls could not be noted: %s", error)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` in a task of ours."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Hold:
    """`request` once, `settle` once."""

    __slots__ = ("_amounts", "_call", "_counted", "_limiter", "_over", "_plan", "_prompt", "_taken", "id")

    def __init__(self, limiter: Limiter, call: Call, plan: Plan) -> None:
        self._limiter = limiter
        self._call = call
        self._plan = plan
        self._prompt = 0
        self._counted = not plan.counts_tokens  # the prompt's tokens are known exactly, or do not matter
        self._amounts: tuple[int, ...] = ()
        self._taken = False
        self._over = False
        self.id = call.id

    def request(self, granted: Callable[[], None], failed: Failed) -> bool:
        """True if all is taken now; else `granted` or `failed` is called later. Raises `GatewayError`."""
        if self._plan.counts_tokens:
            self._prompt = self._limiter.counter.upper_bound(self._call)
        outcome = self._ask()
        if isinstance(outcome, Taken):
            self._note(outcome)
            return True
        self._limiter.spawn(self._later(outcome, granted, failed), "take from limits")
        return False

    async def take(self) -> None:
        """`request`, for who can wait. Raises `GatewayError`."""
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.request(partial(taken.set_result, None), taken.set_exception):
            await taken

    def settle(self) -> None:
        """The call is over: give back what it did not use."""
        self._over = True
        if self._taken:
            self._taken = False
            limiter, plan = self._limiter, self._plan
            limiter.open.discard(self)
            try:
                later = limiter.store.settle(self.id, plan.quotas, used(plan, self._call))
            except StoreDown as error:
                log.warning(NOT_SETTLED, error)
                return
            if later is not None:
                limiter.spawn(_quietly(later), "settle limits")

    # Inside

    def _ask(self) -> Outcome | Awaitable[Outcome]:
        call, plan = self._call, self._plan
        if plan.counts_tokens:
            answer = call.answer_tokens = answer_tokens(call, plan, self._prompt, self._limiter.settings.answer_tokens)
            self._amounts = amounts(plan, call, self._prompt, answer)
        else:
            self._amounts = plan.request
        try:
            return self._limiter.store.take(self.id, plan.quotas, self._amounts)
        except StoreDown:
            raise _unavailable() from None

    async def _later(self, asked: Outcome | Awaitable[Outcome], granted: Callable[[], None], failed: Failed) -> None:
        try:
            taken = await self._insist(asked)
        except Exception as error:
            if not self._over:
                failed(error)
            return
        self._note(taken)
        if self._over:  # the client left meanwhile
            self.settle()
        else:
            granted()

    async def _insist(self, asked: Outcome | Awaitable[Outcome]) -> Taken:
        """Seed counters that are new to the store, count exactly where the bound did not fit. Raises `GatewayError`."""
        for _ in range(MOST_TRIES):
            try:
                outcome: Outcome = await now_or_later(asked)
                if isinstance(outcome, Taken):
                    return outcome
                if isinstance(outcome, Unseeded):
                    await self._seed(tuple([self._plan.quotas[index] for index in outcome.indexes]), outcome.at)
                elif self._counted or self._plan.quotas[outcome.index].kind in COUNTED:
                    raise self._refused(outcome)
                else:
                    self._prompt = self._call.counted = await now_or_later(self._limiter.counter.count(self._call))
                    self._counted = True
            except StoreDown:
                raise _unavailable() from None
            asked = self._ask()
        raise _unavailable()

    async def _seed(self, new: Quotas, at: float) -> None:
        so_far = await used_so_far(self._limiter.totals, new, at)
        await now_or_later(self._limiter.store.seed(new, so_far, at))

    def _refused(self, refused: Refused) -> Exception:
        quota = self._plan.quotas[refused.index]
        self._limiter.refused(quota.kind)
        self._call.rate = rate_state_of_refusal(quota, refused)
        return refusal(quota, self._amounts[refused.index], refused)

    def _note(self, taken: Taken) -> None:
        self._taken = True
        self._limiter.open.add(self)
        self._call.rate = rate_state(self._plan, self._amounts, taken)


class Counted:
    """It counts as a request, and uses no tokens. To enter raises `GatewayError`."""

    __slots__ = ("_call", "_hold")

    def __init__(self, limiter: Limiter, call: Call) -> None:
        plan = requests_plan_of(call.key)
        self._call = call
        self._hold = Hold(limiter, call, plan) if plan.quotas else None

    async def __aenter__(self) -> None:
        if self._hold is None:
            return
        try:
            await self._hold.take()
        except BaseException:  # left while it waited, too
            self._hold.settle()
            raise
        self._call.dispatched = perf_counter()

    async def __aexit__(self, *raised: object) -> None:
        if self._hold is not None:
            self._hold.settle()


async def _quietly(settled: Awaitable[object]) -> None:
    try:
        await settled
    except StoreDown as error:
        log.warning(NOT_SETTLED, error)


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("Limits cannot be checked at the moment. Try again shortly.", retry_after=2)
