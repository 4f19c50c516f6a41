"""Slots under any sequence of events: never too many, nobody lost, one tenant's servable calls in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.admission.fair_queue import QueueFull, Ticket
from server.admission.slots import Slots, share, sharing


class Room:
    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.up: bool | None = True
        self.broken = False
        self.in_flight = 0
        self.outstanding = 0.0
        self.capacity = capacity

    @property
    def usable(self) -> bool:
        return bool(self.up)

    @property
    def limit(self) -> int:
        return self.capacity if self.up and not self.broken else 0

    def __repr__(self) -> str:
        return self.name


class Asking(Ticket[Room]):
    """Tells its life when it is granted an engine."""

    __slots__ = ("life",)

    def __init__(self, life: Life, fleet: list[Room]) -> None:
        super().__init__(fleet, "m", "t")
        self.life = life

    def granted(self, engine: Room) -> None:
        self.life.grant(self, engine)


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rooms = [Room("a", 1), Room("b", 2), Room("c", 3)]
        self.slots: Slots[Room] = Slots(4, 1e9)
        self.held: list[tuple[Asking, Room]] = []
        self.waiting: list[tuple[Asking, list[Room]]] = []

    def fleet(self, mask: int) -> list[Room]:
        return [room for bit, room in enumerate(self.rooms) if mask >> bit & 1]

    @rule(mask=st.integers(1, 7))
    def ask(self, mask: int) -> None:
        fleet = self.fleet(mask)
        ticket = Asking(self, fleet)
        engine = self.slots.take(ticket)
        free = [room for room in fleet if room.up and room.in_flight < room.capacity]
        if engine is not None:
            self.held.append((ticket, engine))
            return
        assert not free
        if len(self.waiting) == 4:
            with pytest.raises(QueueFull):
                self.slots.enqueue(ticket, 0.0)
            return
        self.slots.enqueue(ticket, 0.0)
        self.waiting.append((ticket, fleet))

    def grant(self, ticket: Asking, engine: Room) -> None:
        first = next(one for one, fleet in self.waiting if engine in fleet)
        assert first is ticket, "an older call was passed over"
        self.waiting = [(one, fleet) for one, fleet in self.waiting if one is not ticket]
        self.held.append((ticket, engine))

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 9))
    def give(self, at: int) -> None:
        ticket, engine = self.held.pop(at % len(self.held))
        self.slots.give(ticket, engine, 1, 1, 0.0)

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 9))
    def move(self, at: int) -> None:
        ticket, engine = self.held.pop(at % len(self.held))
        other = self.slots.move(ticket, engine, 0.0)
        assert other is not engine
        self.held.append((ticket, other or engine))

    @precondition(lambda self: self.waiting)
    @rule(at=st.integers(0, 9))
    def leave(self, at: int) -> None:
        ticket, _ = self.waiting.pop(at % len(self.waiting))
        self.slots.leave(ticket)
        self.slots.leave(ticket)

    @rule(at=st.integers(0, 2), up=st.booleans())
    def health(self, at: int, up: bool) -> None:
        self.rooms[at].up = up
        self.slots.offer(self.rooms[at], 0.0)

    @invariant()
    def counted(self) -> None:
        for room in self.rooms:
            assert room.in_flight == [engine for _, engine in self.held].count(room) <= room.capacity
        assert self.slots.queue.length == len(self.waiting) <= 4

    @invariant()
    def nobody_waits_for_free_room(self) -> None:
        for _, fleet in self.waiting:
            assert not [room for room in fleet if room.up and room.in_flight < room.capacity]


TestLife = Life.TestCase


@given(st.lists(st.integers(1, 8), min_size=1, max_size=4), st.integers(1, 20))
def test_the_least_loaded_in_proportion(capacities: list[int], calls: int) -> None:
    rooms = [Room(str(at), capacity) for at, capacity in enumerate(capacities)]
    slots: Slots[Room] = Slots(0, 1e9)
    for _ in range(calls):
        before = min(room.in_flight / room.capacity for room in rooms)
        engine = slots.take(Ticket(rooms, "m", "t"))
        if engine is None:
            assert all(room.in_flight == room.capacity for room in rooms)
            return
        assert (engine.in_flight - 1) / engine.capacity == before


def test_an_engine_not_known_to_be_up_is_not_used() -> None:
    room = Room("a", 1)
    room.up = None
    assert Slots[Room](1, 1e9).take(Ticket([room], "m", "t")) is None


@given(st.integers(1, 500), st.integers(1, 32))
def test_the_workers_shares_are_the_whole(total: int, workers: int) -> None:
    shares = [share(total, worker, workers) for worker in range(workers)]
    assert sum(shares) == max(total, workers)
    assert max(shares) - min(shares) <= 1


def test_models_that_share_engines_share_a_queue() -> None:
    a, b, c, d = (Room(name, 1) for name in "abcd")
    fleets = {"one": [a], "two": [b], "both": [b, a], "apart": [c], "beside": [d, c]}
    assert sorted(sorted(group) for group in sharing(fleets)) == [["apart", "beside"], ["both", "one", "two"]]


def test_what_is_reserved_goes_to_tenants_with_nothing_running() -> None:
    room = Room("a", 4)
    slots: Slots[Room] = Slots(10, 1e9, reserve=0.25)
    busy = [Ticket([room], "m", "busy") for _ in range(5)]
    assert [slots.take(one) for one in busy[:4]] == [room, room, room, None]
    for one in busy[3:]:
        slots.enqueue(one, 0.0)
    slots.offer(room, 0.0)
    assert room.in_flight == 3
    calm = [Ticket([room], "m", "calm") for _ in range(2)]
    assert [slots.take(one) for one in calm] == [room, None]
    slots.give(calm[0], room, 0, 0, 0.0)
    assert (room.in_flight, busy[3].waits) == (3, True)
    slots.give(busy[0], room, 0, 0, 0.0)
    assert (room.in_flight, busy[3].waits, busy[4].waits) == (3, False, True)


def test_nothing_is_reserved_of_few() -> None:
    room = Room("a", 40)
    slots: Slots[Room] = Slots(0, 1e9, reserve=0.02)
    assert all(slots.take(Ticket([room], "m", "t")) for _ in range(40))
