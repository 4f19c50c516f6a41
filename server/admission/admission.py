"""The hold on an engine's slot, from dispatch to the last byte of the answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Generic

from server.admission.slots import Engine, QueueFull, Slots, Ticket
from server.call import Call
from server.config import Admission as AdmissionConfig
from server.errors import EngineOverloaded, EngineUnavailable, TooManyRequests

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


class Slot(Generic[Engine]):
    """`async with slot`: waits for an engine, holds it, gives it back."""

    __slots__ = ("_admission", "_call", "_engines", "engine")

    def __init__(self, admission: Admission[Engine], call: Call, engines: Sequence[Engine]) -> None:
        self._admission = admission
        self._call = call
        self._engines = engines
        self.engine: Engine = None  # pyright: ignore[reportAttributeAccessIssue] # set on entry

    async def __aenter__(self) -> Slot[Engine]:
        engine = self._admission.slots.take(self._engines)
        if engine is None:
            began = perf_counter()
            try:
                engine = await self._admission.wait(self._engines)
            except (EngineOverloaded, asyncio.CancelledError):
                self._call.queued_s = perf_counter() - began
                raise
            self._call.queued_s = perf_counter() - began
        self.engine = engine
        return self

    async def __aexit__(self, *_: object) -> None:
        self._admission.rate.ended(perf_counter())
        self._admission.slots.give(self.engine)

    def move(self) -> bool:
        """Hold another engine instead of the present one; False if none has room."""
        other = self._admission.slots.take(self._engines, but_not=self.engine)
        if other is None:
            return False
        self._admission.slots.give(self.engine)
        self.engine = other
        return True


class Admission(Generic[Engine]):
    """`engines` lists the fleet of every model by the model's public id."""

    def __init__(self, config: AdmissionConfig, engines: Mapping[str, Sequence[Engine]]) -> None:
        self._max_wait_s = config.max_wait_s
        self._engines = engines
        self.slots = Slots[Engine](config.max_queue)
        self.rate = DrainRate()

    def slot(self, call: Call) -> Slot[Engine]:
        return Slot(self, call, self._engines[call.model.id])

    async def wait(self, engines: Sequence[Engine]) -> Engine:
        """Queue for an engine. Raises `EngineUnavailable`, `TooManyRequests` (queue full), `EngineOverloaded`."""
        if not any(engine.up for engine in engines):
            raise EngineUnavailable(
                "No engine is ready for this model; it may still be loading. Try again shortly.",
                retry_after=RETRY_UNAVAILABLE_S,
            )
        granted: asyncio.Future[Engine] = asyncio.get_running_loop().create_future()
        ticket = Ticket(engines, granted.set_result)
        try:
            self.slots.enqueue(ticket)
        except QueueFull:
            wait = self.rate.wait_s(self.slots.queued, perf_counter())
            raise TooManyRequests("The queue for this model is full. Try again later.", retry_after=wait) from None
        try:
            async with asyncio.timeout(self._max_wait_s):
                return await asyncio.shield(granted)
        except TimeoutError:
            wait = self.rate.wait_s(self.slots.queued, perf_counter())
            self._withdraw(ticket, granted)
            raise EngineOverloaded(
                f"The model was busy for longer than {self._max_wait_s:g} seconds. Try again later.", retry_after=wait
            ) from None
        except asyncio.CancelledError:
            self._withdraw(ticket, granted)
            raise

    def _withdraw(self, ticket: Ticket[Engine], granted: asyncio.Future[Engine]) -> None:
        self.slots.leave(ticket)
        if granted.done():  # the grant and the end came in the same moment: pass it on
            self.slots.give(granted.result())
