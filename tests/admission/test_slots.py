"""Slots under any sequence of events: never too many, nobody lost, first come first served among the servable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.admission.slots import QueueFull, Slots, Ticket


class Room:
    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.up: bool | None = True
        self.in_flight = 0
        self.capacity = capacity

    def __repr__(self) -> str:
        return self.name


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rooms = [Room("a", 1), Room("b", 2), Room("c", 3)]
        self.slots: Slots[Room] = Slots(4)
        self.held: list[Room] = []
        self.waiting: list[tuple[Ticket[Room], list[Room]]] = []

    def fleet(self, mask: int) -> list[Room]:
        return [room for bit, room in enumerate(self.rooms) if mask >> bit & 1]

    @rule(mask=st.integers(1, 7))
    def ask(self, mask: int) -> None:
        fleet = self.fleet(mask)
        engine = self.slots.take(fleet)
        free = [room for room in fleet if room.up and room.in_flight < room.capacity]
        if engine is not None:
            self.held.append(engine)
            return
        assert not free
        ticket: Ticket[Room] = Ticket(fleet, lambda granted: self.grant(ticket, granted))
        if len(self.waiting) == 4:
            with pytest.raises(QueueFull):
                self.slots.enqueue(ticket)
            return
        self.slots.enqueue(ticket)
        self.waiting.append((ticket, fleet))

    def grant(self, ticket: Ticket[Room], engine: Room) -> None:
        first = next(one for one, fleet in self.waiting if engine in fleet)
        assert first is ticket, "an older call was passed over"
        self.waiting = [(one, fleet) for one, fleet in self.waiting if one is not ticket]
        self.held.append(engine)

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 9))
    def give(self, at: int) -> None:
        self.slots.give(self.held.pop(at % len(self.held)))

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 9))
    def move(self, at: int) -> None:
        engine = self.held[at % len(self.held)]
        other = self.slots.take(self.rooms, but_not=engine)
        if other is not None:
            assert other is not engine
            self.held[self.held.index(engine)] = other
            self.slots.give(engine)

    @precondition(lambda self: self.waiting)
    @rule(at=st.integers(0, 9))
    def leave(self, at: int) -> None:
        ticket, _ = self.waiting.pop(at % len(self.waiting))
        self.slots.leave(ticket)
        self.slots.leave(ticket)

    @rule(at=st.integers(0, 2), up=st.booleans())
    def health(self, at: int, up: bool) -> None:
        self.rooms[at].up = up
        self.slots.offer(self.rooms[at])

    @invariant()
    def counted(self) -> None:
        for room in self.rooms:
            assert room.in_flight == self.held.count(room) <= room.capacity
        assert self.slots.queued == len(self.waiting) <= 4

    @invariant()
    def nobody_waits_for_free_room(self) -> None:
        for _, fleet in self.waiting:
            assert not [room for room in fleet if room.up and room.in_flight < room.capacity]


TestLife = Life.TestCase


@given(st.lists(st.integers(1, 8), min_size=1, max_size=4), st.integers(1, 20))
def test_the_least_loaded_in_proportion(capacities: list[int], calls: int) -> None:
    rooms = [Room(str(at), capacity) for at, capacity in enumerate(capacities)]
    slots: Slots[Room] = Slots(0)
    for _ in range(calls):
        before = min(room.in_flight / room.capacity for room in rooms)
        engine = slots.take(rooms)
        if engine is None:
            assert all(room.in_flight == room.capacity for room in rooms)
            return
        assert (engine.in_flight - 1) / engine.capacity == before


def test_an_engine_not_known_to_be_up_is_not_used() -> None:
    room = Room("a", 1)
    room.up = None
    assert Slots[Room](1).take([room]) is None
