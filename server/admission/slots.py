"""Who may use which engine now: a pure decider. No event loop; the clock is passed in.

take    an engine that is up and has room, the least loaded first; None if the call must wait
move    another engine in place of the one that is held
give    back what was taken; it goes to the waiting call whose turn it is (fair_queue.py)
enqueue / leave    a place in the queue
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from server.admission.fair_queue import FairQueue, Ticket


class Room(Protocol):
    """What admission has to know of an engine."""

    up: bool | None
    in_flight: int
    capacity: int


Engine = TypeVar("Engine", bound=Room)


class Slots(Generic[Engine]):
    """`reserve` is the share of an engine's slots, rounded down, that only tenants with nothing running may take.

    A busy engine would otherwise let a newcomer wait for the next call to end, however few calls he has.
    """

    def __init__(self, max_queue: int, age_s: float, reserve: float = 0.0) -> None:
        self.queue = FairQueue[Engine](max_queue, age_s)
        self._reserve = reserve

    def take(self, ticket: Ticket[Engine]) -> Engine | None:
        engine = _roomiest(ticket.engines)
        if engine is None or (self._only_reserved(engine) and self.queue.runs(ticket)):
            return None
        engine.in_flight += 1
        self.queue.begin(ticket)
        return engine

    def move(self, ticket: Ticket[Engine], held: Engine, now: float) -> Engine | None:
        """None if no other has room; then `held` stays held."""
        other = _roomiest(ticket.engines, but_not=held)
        if other is not None:
            other.in_flight += 1
            self._give(held, now)
        return other

    def enqueue(self, ticket: Ticket[Engine], now: float) -> None:
        """Raises `QueueFull`."""
        out = self.queue.enqueue(ticket, now)
        if out is not None:
            out.pushed_out()

    def leave(self, ticket: Ticket[Engine]) -> None:
        self.queue.leave(ticket)

    def give(self, ticket: Ticket[Engine], engine: Engine, prompt: int, completion: int, now: float) -> None:
        """The call has ended with so many tokens; its slot goes to whose turn it is."""
        self.queue.end(ticket, prompt, completion)
        self._give(engine, now)

    def offer(self, engine: Engine, now: float) -> None:
        """Fill the engine's room from the queue."""
        while self.queue.length and engine.up and engine.in_flight < engine.capacity:
            ticket = self.queue.next(engine, now, reserved=self._only_reserved(engine))
            if ticket is None:
                return
            engine.in_flight += 1
            ticket.granted(engine)

    def _only_reserved(self, engine: Engine) -> bool:
        return engine.capacity - engine.in_flight <= int(engine.capacity * self._reserve)

    def _give(self, engine: Engine, now: float) -> None:
        engine.in_flight -= 1
        self.offer(engine, now)


def _roomiest(engines: Sequence[Engine], *, but_not: Engine | None = None) -> Engine | None:
    best: Engine | None = None
    for engine in engines:
        has_room = engine.up and engine.in_flight < engine.capacity and engine is not but_not
        if has_room and (best is None or engine.in_flight * best.capacity < best.in_flight * engine.capacity):
            best = engine
    return best


def sharing(fleets: Mapping[str, Sequence[Engine]]) -> list[list[str]]:
    """Groups of models that have engines in common, directly or by way of others: each group needs one queue."""
    groups: list[tuple[list[str], list[Engine]]] = []
    for model, fleet in fleets.items():
        touching = [group for group in groups if any(engine in group[1] for engine in fleet)]
        groups = [group for group in groups if group not in touching]
        models = [name for group in touching for name in group[0]]
        engines = [engine for group in touching for engine in group[1]]
        groups.append(([*models, model], [*engines, *fleet]))
    return [models for models, _ in groups]


def share(total: int, worker: int, workers: int) -> int:
    """What worker number `worker` (from 0) of `workers` may have of `total` slots; the first ones get the remainder.

    At least 1: with more workers than slots each still serves.
    """
    return max(1, total // workers + (worker < total % workers))
