"""Who may use which engine now: a pure decider. No clock, no event loop.

take    an engine that is up and has room, the least loaded first; None if the call must wait
give    back what was taken, or move it to another engine
enqueue / leave    a place in the queue, first come first served among calls that the freed engine can serve
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar


class Room(Protocol):
    """What admission has to know of an engine."""

    up: bool | None
    in_flight: int
    capacity: int


Engine = TypeVar("Engine", bound=Room)


class QueueFull(Exception):
    """`max_queue` calls are waiting already."""


class Ticket(Generic[Engine]):
    """A place in the queue. `granted(engine)` is called at most once."""

    __slots__ = ("engines", "granted")

    def __init__(self, engines: Sequence[Engine], granted: Callable[[Engine], None]) -> None:
        self.engines = engines
        self.granted = granted


class Slots(Generic[Engine]):
    def __init__(self, max_queue: int) -> None:
        self._max_queue = max_queue
        self._waiting: OrderedDict[Ticket[Engine], None] = OrderedDict()

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def take(self, engines: Sequence[Engine], *, but_not: Engine | None = None) -> Engine | None:
        best: Engine | None = None
        for engine in engines:
            has_room = engine.up and engine.in_flight < engine.capacity and engine is not but_not
            if has_room and (best is None or engine.in_flight * best.capacity < best.in_flight * engine.capacity):
                best = engine
        if best is not None:
            best.in_flight += 1
        return best

    def enqueue(self, ticket: Ticket[Engine]) -> None:
        """Raises `QueueFull`."""
        if len(self._waiting) >= self._max_queue:
            raise QueueFull
        self._waiting[ticket] = None

    def leave(self, ticket: Ticket[Engine]) -> None:
        self._waiting.pop(ticket, None)

    def give(self, engine: Engine) -> None:
        """Take back a slot, and pass it to the first waiting call that the engine can serve."""
        engine.in_flight -= 1
        self.offer(engine)

    def offer(self, engine: Engine) -> None:
        """Fill the engine's room from the queue."""
        for ticket in tuple(self._waiting):
            if not engine.up or engine.in_flight >= engine.capacity:
                return
            if engine in ticket.engines:
                del self._waiting[ticket]
                engine.in_flight += 1
                ticket.granted(engine)
