"""The hold on an engine's slot, from dispatch to the last byte of the answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Generic

from server.admission.budget import RetryBudget
from server.admission.fair_queue import QueueFull, Standing, Ticket, service
from server.admission.prefix import prefix_of
from server.admission.slots import Engine, Slots, sharing
from server.call import Call, Project
from server.config import Admission as AdmissionConfig
from server.config import PriorityClass
from server.errors import EngineOverloaded, EngineUnavailable, GatewayError, TooManyRequests

RETRY_UNAVAILABLE_S = 5.0
RATE_WINDOW = 64  # calls


class DrainRate:
    """How fast calls end, from the last `RATE_WINDOW` of them; says how long a queue takes."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=RATE_WINDOW)

    def ended(self, now: float) -> None:
        self._ends.append(now)

    def wait_s(self, ahead: int, now: float) -> float:
        """Seconds until `ahead` calls have ended, between 1 and 60."""
        if len(self._ends) < 2:
            return 1.0
        per_call = (now - self._ends[0]) / len(self._ends)
        return min(60.0, max(1.0, per_call * (ahead + 1)))


class Pool(Generic[Engine]):
    """Models that share engines: one queue, one rate at which it drains."""

    def __init__(self, config: AdmissionConfig, *, fleet: bool) -> None:
        self.max_wait_s = config.max_wait_s
        self.slots = Slots[Engine](config.max_queue, config.age_s, config.reserve, fleet=fleet)
        self.rate = DrainRate()
        self.retries = RetryBudget()

    def retry_after(self) -> float:
        """Seconds until all that wait now have gone."""
        return self.rate.wait_s(self.slots.queue.length, perf_counter())

    def full(self) -> TooManyRequests:
        return TooManyRequests("The queue for this model is full. Try again later.", retry_after=self.retry_after())

    def waited_too_long(self) -> EngineOverloaded:
        return EngineOverloaded(
            f"The model was busy for longer than {self.max_wait_s:g} seconds. Try again later.",
            retry_after=self.retry_after(),
        )


class Slot(Ticket[Engine]):
    """A call's hold on an engine: `request` it, and `release` it however the call ends."""

    __slots__ = ("_call", "_go", "_holds", "_pool", "_refuse", "engine")

    def __init__(self, pool: Pool[Engine], call: Call, engines: Sequence[Engine], weight: float) -> None:
        super().__init__(
            engines,
            call.model.id,
            call.key.project.id,
            weight=weight,
            priority=call.priority,
            prompt=call.prompt,
            prefix=prefix_of(call) if len(engines) > 1 else None,
        )
        self._pool = pool
        self._call = call
        self._holds = False
        self._go: Callable[[], None] | None = None
        self._refuse: Callable[[GatewayError], None] | None = None
        self.engine: Engine = None  # type: ignore[assignment] # known once one is held

    def request(self, go: Callable[[], None], refuse: Callable[[GatewayError], None]) -> bool:
        """True if an engine is held now. Else the call is queued, and the event loop calls one of the two later.

        `refuse` is called if its place is needed for another tenant. Raises `EngineUnavailable`, `TooManyRequests`
        (queue full).
        """
        slots = self._pool.slots
        self._pool.retries.called()
        engine = slots.take(self)
        if engine is not None:
            self.engine = engine
            self._holds = True
            return True
        _check_up(self.engines)
        self._go, self._refuse = go, refuse
        try:
            slots.enqueue(self, perf_counter())
        except QueueFull:
            raise self._pool.full() from None
        return False

    def check(self, now: float) -> None:
        """What is due a few times a second: the answer's tokens are charged, a wait has its limits.

        Raises `EngineOverloaded` after too long a wait, `EngineUnavailable` once all its engines are down.
        """
        if self._holds:
            self._pool.slots.progress(self, self.engine, self._call.streamed)
        elif self.waits:
            _check_up(self.engines)
            if now - self.since > self._pool.max_wait_s:
                raise self._pool.waited_too_long()

    def retry(self) -> bool:
        """As `move`, for a call that its engine has had: within the budget, which is for all calls of the pool."""
        budget, now = self._pool.retries, perf_counter()
        if not budget.allows(now) or not self.move():
            return False
        budget.spend()
        return True

    def move(self) -> bool:
        """Hold another engine instead of the present one; False if none has room."""
        other = self._pool.slots.move(self, self.engine, perf_counter())
        if other is None:
            return False
        self.engine = other
        return True

    def release(self) -> None:
        """Leave the queue or give the engine back; more than once is no harm."""
        self._go = self._refuse = None
        pool = self._pool
        if self._holds:
            self._holds = False
            now = perf_counter()
            pool.rate.ended(now)
            used = self._call.used()
            self._call.charged = service(used.prompt, used.completion)
            pool.slots.give(self, self.engine, used.prompt, used.completion, now)
        elif self.waits:
            self._call.queued_s = perf_counter() - self.since
            pool.slots.leave(self)

    def granted(self, engine: Engine) -> None:
        """The engine is held from here on; the call goes on when whoever gave it back is done."""
        self.engine = engine
        self._holds = True
        self._call.queued_s = perf_counter() - self.since
        asyncio.get_running_loop().call_soon(self._go_on)

    def pushed_out(self) -> None:
        self._call.queued_s = perf_counter() - self.since
        asyncio.get_running_loop().call_soon(self._end, self._pool.full())

    def _go_on(self) -> None:
        if self._go is not None:
            self._go()

    def _end(self, error: GatewayError) -> None:
        if self._refuse is not None:
            self._refuse(error)


class Admission(Generic[Engine]):
    """`engines` lists the fleet of every model by the model's public id.

    `fitting` says which of them can do what a call asks for; None: all can.
    """

    def __init__(
        self,
        config: AdmissionConfig,
        engines: Mapping[str, Sequence[Engine]],
        fitting: Callable[[Call, Sequence[Engine]], Sequence[Engine]] | None = None,
    ) -> None:
        self._weights = config.weights
        self._fitting = fitting
        self._engines = engines
        self._pools: dict[str, Pool[Engine]] = {}  # by the model's id
        for models in sharing(engines):
            fleet = len({engine.name for model in models for engine in engines[model]}) > 1
            self._pools |= dict.fromkeys(models, Pool[Engine](config, fleet=fleet))

    @property
    def pools(self) -> list[Pool[Engine]]:
        return list(dict.fromkeys(self._pools.values()))

    @property
    def queued(self) -> int:
        return sum(pool.slots.queue.length for pool in self.pools)

    def slot(self, call: Call) -> Slot[Engine]:
        """Raises what `fitting` does."""
        model = call.model.id
        engines = self._engines[model]
        if self._fitting is not None:
            engines = self._fitting(call, engines)
        return Slot(self._pools[model], call, engines, self._weight(call.key.project))

    def offer(self, engine: Engine) -> None:
        """It may have come up: fill its room."""
        for model, pool in self._pools.items():
            if engine in self._engines[model]:
                pool.slots.offer(engine, perf_counter())

    def available(self, model: str) -> bool:
        """Whether an engine of the model would be used now for what it is: up, and not failing."""
        return any(one.usable and (one.limit or not one.broken) for one in self._engines[model])

    def waiting(self) -> dict[tuple[str, PriorityClass], int]:
        """Calls in the queue by model and class."""
        return {key: count for pool in self.pools for key, count in pool.slots.queue.waiting().items()}

    def snapshot(self) -> list[list[Standing]]:
        """Who waits and runs, in order, for each group of models that share engines."""
        return [pool.slots.queue.snapshot(perf_counter()) for pool in self.pools]

    def _weight(self, project: Project) -> float:
        return self._weights.get(project.id, project.weight) if self._weights else project.weight


def _check_up(engines: Sequence[Engine]) -> None:
    """Nothing waits for an engine that is not there. Raises `EngineUnavailable`."""
    if not any(engine.usable for engine in engines):
        raise EngineUnavailable(
            "No engine is ready for this model; it may still be loading. Try again shortly.",
            retry_after=RETRY_UNAVAILABLE_S,
        )
