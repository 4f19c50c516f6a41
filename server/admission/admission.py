"""The hold on an engine's slot, from dispatch to the last byte of the answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
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
    """A call's hold on an engine: `request` it, and `release` it however the call ends."""

    __slots__ = ("_admission", "_began", "_call", "_engines", "_granted", "_holds", "_ticket", "engine")

    def __init__(self, admission: Admission[Engine], call: Call, engines: Sequence[Engine]) -> None:
        self._admission = admission
        self._call = call
        self._engines = engines
        self.engine: Engine = None  # pyright: ignore[reportAttributeAccessIssue] # known once one is held
        self._holds = False
        self._ticket: Ticket[Engine] | None = None
        self._granted: Callable[[], None] | None = None
        self._began = 0.0

    def request(self, granted: Callable[[], None]) -> bool:
        """True if an engine is held now. Else the call is queued, and `granted` is called by the event loop later.

        Raises `EngineUnavailable`, `TooManyRequests` (queue full).
        """
        engine = self._admission.slots.take(self._engines)
        if engine is not None:
            self.engine = engine
            self._holds = True
            return True
        self._granted = granted
        self._began = perf_counter()
        self._ticket = self._admission.enqueue(self._engines, self._grant)
        return False

    def check(self, now: float) -> None:
        """Raises `EngineOverloaded` after too long a wait, `EngineUnavailable` once all its engines are down."""
        if self._ticket is not None:
            self._admission.check_up(self._engines)
            self._admission.check_wait(now - self._began)

    def move(self) -> bool:
        """Hold another engine instead of the present one; False if none has room."""
        other = self._admission.slots.take(self._engines, but_not=self.engine)
        if other is None:
            return False
        self._admission.slots.give(self.engine)
        self.engine = other
        return True

    def release(self) -> None:
        """Leave the queue or give the engine back; more than once is no harm."""
        self._granted = None
        if self._ticket is not None:
            self._call.queued_s = perf_counter() - self._began
            self._admission.slots.leave(self._ticket)
            self._ticket = None
        if self._holds:
            self._holds = False
            self._admission.rate.ended(perf_counter())
            self._admission.slots.give(self.engine)

    def _grant(self, engine: Engine) -> None:
        """The engine is held from here on; the call goes on when whoever gave it back is done."""
        self.engine = engine
        self._holds = True
        self._ticket = None
        self._call.queued_s = perf_counter() - self._began
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        granted, self._granted = self._granted, None
        if granted is not None:
            granted()


class Admission(Generic[Engine]):
    """`engines` lists the fleet of every model by the model's public id."""

    def __init__(self, config: AdmissionConfig, engines: Mapping[str, Sequence[Engine]]) -> None:
        self._max_wait_s = config.max_wait_s
        self._engines = engines
        self.slots = Slots[Engine](config.max_queue)
        self.rate = DrainRate()

    def slot(self, call: Call) -> Slot[Engine]:
        return Slot(self, call, self._engines[call.model.id])

    def enqueue(self, engines: Sequence[Engine], granted: Callable[[Engine], None]) -> Ticket[Engine]:
        """A place in the queue. Raises `EngineUnavailable`, `TooManyRequests`."""
        self.check_up(engines)
        ticket = Ticket(engines, granted)
        try:
            self.slots.enqueue(ticket)
        except QueueFull:
            wait = self.rate.wait_s(self.slots.queued, perf_counter())
            raise TooManyRequests("The queue for this model is full. Try again later.", retry_after=wait) from None
        return ticket

    def check_up(self, engines: Sequence[Engine]) -> None:
        """Nothing waits for an engine that is not there. Raises `EngineUnavailable`."""
        if not any(engine.up for engine in engines):
            raise EngineUnavailable(
                "No engine is ready for this model; it may still be loading. Try again shortly.",
                retry_after=RETRY_UNAVAILABLE_S,
            )

    def check_wait(self, waited_s: float) -> None:
        """Raises `EngineOverloaded` if that is longer than a call may wait."""
        if waited_s > self._max_wait_s:
            wait = self.rate.wait_s(self.slots.queued, perf_counter())
            raise EngineOverloaded(
                f"The model was busy for longer than {self._max_wait_s:g} seconds. Try again later.", retry_after=wait
            )
