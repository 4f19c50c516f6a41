"""Who may use which engine now: a pure decider. No event loop; the clock is passed in.

take    an engine that is up and has room (routing.py says which); None if the call must wait
move    another engine in place of the one that is held
give    back what was taken; it goes to the waiting call whose turn it is (fair_queue.py)
enqueue / leave    a place in the queue
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from server.admission.fair_queue import FairQueue, Ticket
from server.admission.routing import AnswerLengths, choose, work_left


class Room(Protocol):
    """What admission has to know of an engine. It keeps the two counts itself."""

    in_flight: int
    outstanding: float  # tokens that are still to be computed, about; counted in fleets only

    @property
    def name(self) -> str: ...

    @property
    def capacity(self) -> int: ...

    @property
    def limit(self) -> int:
        """Calls that it may have now: its capacity if it is well, 0 if it must be left alone."""
        ...

    @property
    def usable(self) -> bool:
        """It is up, and nobody wants it to be empty."""
        ...

    @property
    def broken(self) -> bool:
        """Its calls failed lately: others are used in its place, where there are others."""
        ...


Engine = TypeVar("Engine", bound=Room)


class Slots(Generic[Engine]):
    """`reserve` is the share of an engine's slots, rounded down, that only tenants with nothing running may take.

    A busy engine would otherwise let a newcomer wait for the next call to end, however few calls he has.
    `fleet`: there is a choice of engines, so what each has to do is counted.
    """

    def __init__(self, max_queue: int, age_s: float, reserve: float = 0.0, *, fleet: bool = True) -> None:
        self.queue = FairQueue[Engine](max_queue, age_s)
        self._reserve = reserve
        self._fleet = fleet
        self._lengths = AnswerLengths()

    def take(self, ticket: Ticket[Engine]) -> Engine | None:
        engine = self._choose(ticket)
        if engine is None or (self._only_reserved(engine) and self.queue.runs(ticket)):
            return None
        self._occupy(ticket, engine)
        self.queue.begin(ticket)
        return engine

    def move(self, ticket: Ticket[Engine], held: Engine, now: float) -> Engine | None:
        """None if no other has room; then `held` stays held."""
        other = self._choose(ticket, but_not=held)
        if other is not None:
            self._give(ticket, held, now)
            self._occupy(ticket, other)
        return other

    def progress(self, ticket: Ticket[Engine], engine: Engine, completion: int) -> None:
        """The answer of a call on `engine` has so many tokens by now."""
        self.queue.charge(ticket, completion)
        if self._fleet:
            left = work_left(ticket.prompt, self._lengths.expected, completion)
            engine.outstanding += left - ticket.work
            ticket.work = left

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
        if self._fleet:
            self._lengths.ended(completion)
        self._give(ticket, engine, now)

    def offer(self, engine: Engine, now: float) -> None:
        """Fill the engine's room from the queue."""
        while self.queue.length and engine.in_flight < engine.limit:
            ticket = self.queue.next(engine, now, reserved=self._only_reserved(engine))
            if ticket is None:
                return
            self._occupy(ticket, engine)
            ticket.granted(engine)

    def _only_reserved(self, engine: Engine) -> bool:
        return engine.capacity - engine.in_flight <= int(engine.capacity * self._reserve)

    def _choose(self, ticket: Ticket[Engine], *, but_not: Engine | None = None) -> Engine | None:
        open_to = [one for one in ticket.engines if one.in_flight < one.limit and one is not but_not]
        open_to = open_to or [one for one in _last_resort(ticket.engines) if one is not but_not]
        return choose(open_to, ticket.prefix, self._work(ticket)) if open_to else None

    def _work(self, ticket: Ticket[Engine]) -> float:
        return work_left(ticket.prompt, self._lengths.expected, 0)

    def _occupy(self, ticket: Ticket[Engine], engine: Engine) -> None:
        engine.in_flight += 1
        if self._fleet:
            ticket.work = self._work(ticket)
            engine.outstanding += ticket.work

    def _give(self, ticket: Ticket[Engine], engine: Engine, now: float) -> None:
        engine.in_flight -= 1
        if self._fleet:
            engine.outstanding = max(0.0, engine.outstanding - ticket.work)
            ticket.work = 0.0
        self.offer(engine, now)


def _last_resort(engines: Sequence[Engine]) -> list[Engine]:
    """Where all that are usable are broken, these: one tenant's calls that no engine survives must not keep out all."""
    usable = [one for one in engines if one.usable]
    return [one for one in usable if one.in_flight < one.capacity] if all(one.broken for one in usable) else []


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
