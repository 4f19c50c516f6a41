"""The fair queue: shares under any load, classes, ageing, places in the queue, memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.admission.counters import Account, Counters
from server.admission.fair_queue import COMPLETION_COST, PROMPT_COST, FairQueue, QueueFull, Ticket

ENGINE, OTHER = "engine", "other"
WEIGHTS = st.sampled_from([0.5, 1, 2, 3])


def ticket(tenant: str, **facts: Any) -> Ticket[str]:
    return Ticket([ENGINE], facts.pop("model", "m"), tenant, **facts)


def queue(max_queue: int = 1000, age_s: float = 10.0) -> FairQueue[str]:
    return FairQueue(max_queue, age_s)


def served(fair: FairQueue[str], engine: str = ENGINE, now: float = 0.0) -> list[str]:
    """The tenants of all that wait, in the order in which they get the engine."""
    order = []
    while (one := fair.next(engine, now)) is not None:
        order.append(one.tenant)
    return order


# The paper's bound


class Load:
    """Tenants that always have calls waiting, before an engine of `slots` calls at once."""

    def __init__(self, slots: int, weights: dict[str, float], draw: Any, longest: int) -> None:
        self.fair = queue()
        self.slots = slots
        self.weights = weights
        self.draw = draw
        self.longest = longest
        self.running: list[tuple[Ticket[str], int, int, int]] = []  # its real prompt, its answer's length, streamed
        self.given = dict.fromkeys(weights, 0.0)
        """Service as the paper counts it: real prompts at dispatch, answers as they come."""
        for tenant in weights:
            self.come(tenant, slots + 1)

    def come(self, tenant: str, calls: int) -> None:
        for _ in range(calls):
            estimate = self.draw(st.integers(0, self.longest))
            self.fair.enqueue(ticket(tenant, weight=self.weights[tenant], prompt=estimate), 0.0)

    def step(self) -> None:
        while len(self.running) < self.slots and (one := self.fair.next(ENGINE, 0.0)) is not None:
            prompt, answer = (self.draw(st.integers(0, self.longest)) for _ in range(2))
            self.running.append((one, prompt, answer, 0))
            self.given[one.tenant] += PROMPT_COST * prompt / one.weight
            self.fair.enqueue(
                ticket(one.tenant, weight=one.weight, prompt=self.draw(st.integers(0, self.longest))), 0.0
            )
        running, self.running = self.running, []
        for one, prompt, answer, streamed in running:
            if streamed >= answer:
                self.fair.end(one, prompt, answer)
                continue
            burst = min(answer - streamed, self.draw(st.integers(1, self.longest)))
            self.given[one.tenant] += COMPLETION_COST * burst / one.weight
            if self.draw(st.booleans()):  # the watchdog comes now and then
                self.fair.charge(one, streamed + burst)
            self.running.append((one, prompt, answer, streamed + burst))


@settings(max_examples=60, deadline=None)
@given(
    st.data(), st.integers(1, 4), st.integers(1, 12), st.lists(st.sampled_from([0.5, 1, 2, 3]), min_size=2, max_size=3)
)
def test_the_service_of_backlogged_tenants_differs_by_no_more_than_the_papers_bound(
    data: st.DataObject, slots: int, longest: int, weights: list[float]
) -> None:
    load = Load(slots, {f"t{at}": weight for at, weight in enumerate(weights)}, data.draw, longest)
    bound = 2 * COMPLETION_COST * slots * 2 * longest / min(weights)
    history = []
    for _ in range(25):
        load.step()
        history.append(dict(load.given))
    for begin in range(len(history)):
        for end in range(begin, len(history)):
            gains = [history[end][tenant] - history[begin][tenant] for tenant in load.weights]
            assert max(gains) - min(gains) <= bound


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 12))
def test_the_bound_holds_from_the_moment_on_at_which_a_tenant_comes_back(
    data: st.DataObject, slots: int, longest: int
) -> None:
    """However long it was away and however much the others were given meanwhile."""
    load = Load(slots, {"stays": 1.0}, data.draw, longest)
    load.weights["comes"] = 1.0
    load.given["comes"] = 0.0
    for _ in range(data.draw(st.integers(1, 30))):
        load.step()
    load.come("comes", slots + 1)
    before = dict(load.given)
    for _ in range(20):
        load.step()
        gains = [load.given[tenant] - before[tenant] for tenant in load.weights]
        assert max(gains) - min(gains) <= 2 * COMPLETION_COST * slots * 2 * longest


def test_weights_are_shares() -> None:
    fair = queue()
    for _ in range(300):
        fair.enqueue(ticket("one", prompt=10), 0.0)
        fair.enqueue(ticket("two", prompt=10, weight=2.0), 0.0)
    first = [one.tenant for _ in range(300) if (one := fair.next(ENGINE, 0.0))]
    assert first.count("two") == 200


# Credit and debt


def test_time_away_earns_no_credit() -> None:
    fair = queue()
    for _ in range(20):
        fair.enqueue(ticket("busy", prompt=100), 0.0)
    for _ in range(10):
        fair.next(ENGINE, 0.0)
    for _ in range(10):
        fair.enqueue(ticket("late", prompt=100), 0.0)
    assert served(fair)[:6] in (["late", "busy"] * 3, ["busy", "late"] * 3)


def test_calls_that_did_not_wait_count_too() -> None:
    fair = queue()
    running = [ticket("busy", prompt=100) for _ in range(3)]
    for one in running:
        fair.begin(one)
    fair.charge(running[0], 50)
    for tenant in ("busy", "busy", "calm", "calm", "calm"):
        fair.enqueue(ticket(tenant, prompt=100), 0.0)
    # "busy" waited first, so "calm" begins beside it; and of equals comes first who has fewer running.
    assert served(fair) == ["calm", "busy", "calm", "busy", "calm"]


def test_an_estimate_is_corrected() -> None:
    fair = queue()
    low, high = ticket("low", prompt=1), ticket("high", prompt=50)
    fair.begin(low)
    fair.begin(high)
    fair.charge(high, 10)
    fair.charge(high, 10)  # of what was charged already nothing again
    before = counters_of(fair)
    for tenant in before:
        fair.enqueue(ticket(tenant), 0.0)
    waiting = counters_of(fair)
    assert waiting["high"] == before["high"] == 1 + 50 + 2 * 10
    fair.end(low, 500, 20)
    fair.end(high, 30, 10)
    after = counters_of(fair)
    assert after["low"] - waiting["low"] == 499 + 2 * 20
    assert after["high"] - waiting["high"] == -20
    assert served(fair) == ["high", "low"]


def counters_of(fair: FairQueue[str]) -> dict[str, float]:
    return {one.tenant: one.counter for one in fair.snapshot(0.0)}


def test_with_nobody_there_nobody_is_ahead() -> None:
    fair = queue()
    one = ticket("a", prompt=1000)
    fair.begin(one)
    fair.end(one, 1000, 1000)
    assert fair.snapshot(0.0) == []
    fair.begin(ticket("a", prompt=5))
    assert [standing.counter for standing in fair.snapshot(0.0)] == [5]


@given(st.integers(2, 50), st.integers(1, 400))
def test_idle_tenants_are_forgotten_within_bounds(limit: int, tenants: int) -> None:
    counters: Counters[Ticket[str]] = Counters(limit)
    held: Account[Ticket[str]] = counters.join("held", 1.0)
    counters.begin(held, 1.0)
    for number in range(tenants):
        account = counters.join(f"t{number}", 1.0)
        counters.begin(account, 1.0)
        counters.end(account)
        assert len(counters) <= limit
    assert held in list(counters.active())


# Order


def test_first_come_first_served_within_a_tenant() -> None:
    fair = queue()
    came = [ticket("a") for _ in range(5)]
    for one in came:
        fair.enqueue(one, 0.0)
    assert [fair.next(ENGINE, 0.0) for _ in came] == came


def test_classes() -> None:
    fair = queue()
    for priority in ("batch", "standard", "interactive", "batch", "interactive"):
        fair.enqueue(ticket(priority, priority=priority), 0.0)
    assert served(fair) == ["interactive"] * 2 + ["standard"] + ["batch"] * 2


def test_ageing() -> None:
    """Each age in the queue is a class up, and no more than its own tenant's turn there."""
    fair = queue(age_s=10)
    fair.enqueue(ticket("old", priority="batch"), 0.0)
    for _ in range(3):
        fair.enqueue(ticket("standard", prompt=10), 9.0)
    fair.enqueue(ticket("interactive", priority="interactive"), 9.0)
    assert [one.tenant for _ in range(2) if (one := fair.next(ENGINE, 9.9))] == ["interactive", "standard"]
    assert [one.tenant for _ in range(1) if (one := fair.next(ENGINE, 10.0))] == ["old"]

    fair.enqueue(ticket("older", priority="batch"), 10.0)
    for _ in range(3):
        fair.enqueue(ticket("busy", priority="interactive", prompt=10), 29.0)
    assert [one.tenant for _ in range(1) if (one := fair.next(ENGINE, 29.9))] == ["busy"]
    assert "older" in served(fair, now=30.0)[:2]


def test_an_aged_tenant_brings_no_credit() -> None:
    fair = queue(age_s=10)
    for _ in range(6):
        fair.enqueue(ticket("patient", priority="batch", prompt=10), 0.0)
        fair.enqueue(ticket("standard", prompt=10), 5.0)
        fair.begin(ticket("standard", prompt=10))
    assert served(fair, now=10.0)[:6].count("patient") == 3


@given(st.lists(st.tuples(st.sampled_from(["interactive", "standard", "batch"]), st.integers(0, 3)), max_size=30))
def test_no_class_starves(load: list[tuple[Any, int]]) -> None:
    """However many interactive calls come: a batch call that has aged twice is served when its tenant has its turn."""
    fair = queue(age_s=10)
    victim = ticket("victim", priority="batch", prompt=10)
    fair.enqueue(victim, 0.0)
    for priority, tenant in load:
        fair.enqueue(ticket(f"t{tenant}", priority=priority, prompt=10), 0.0)
    for turn in range(6):
        for tenant in range(4):
            fair.enqueue(ticket(f"t{tenant}", priority="interactive", prompt=10), 20.0 + turn)
        assert fair.next(ENGINE, 20.0 + turn) is not None
    assert not victim.waits


def test_an_engine_gets_what_it_can_serve() -> None:
    fair = queue()
    fair.enqueue(ticket("a"), 0.0)
    mixed = Ticket([OTHER, ENGINE], "n", "a")
    fair.enqueue(mixed, 0.0)
    assert fair.next(OTHER, 0.0) is mixed
    assert fair.next(OTHER, 0.0) is None
    assert fair.length == 1


# Places


def test_a_flood_locks_nobody_out() -> None:
    fair = queue(max_queue=4)
    flood = [ticket("flood") for _ in range(4)]
    for one in flood:
        assert fair.enqueue(one, 0.0) is None
    with pytest.raises(QueueFull):
        fair.enqueue(ticket("flood"), 0.0)
    assert fair.enqueue(ticket("calm"), 0.0) is flood[3]
    assert fair.enqueue(ticket("calm"), 0.0) is flood[2]
    with pytest.raises(QueueFull):  # two and two
        fair.enqueue(ticket("calm"), 0.0)
    assert fair.enqueue(ticket("third"), 0.0) is not None
    assert fair.length == 4
    assert not flood[3].waits


def test_the_lowest_class_is_pushed_out_first() -> None:
    fair = queue(max_queue=3)
    batch = ticket("flood", priority="batch")
    for one in (batch, ticket("flood"), ticket("flood", priority="interactive")):
        fair.enqueue(one, 0.0)
    assert fair.enqueue(ticket("calm"), 0.0) is batch


def test_the_bound_is_per_model() -> None:
    fair = queue(max_queue=1)
    fair.enqueue(ticket("a"), 0.0)
    fair.enqueue(ticket("a", model="n"), 0.0)
    with pytest.raises(QueueFull):
        fair.enqueue(ticket("a", model="n"), 0.0)
    assert fair.waiting() == {("m", "standard"): 1, ("n", "standard"): 1}


def test_no_queue_at_all() -> None:
    with pytest.raises(QueueFull):
        queue(max_queue=0).enqueue(ticket("a"), 0.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from(["interactive", "standard", "batch"]))))
def test_what_is_told_of_the_queue_is_true(events: list[tuple[int, int, Any]]) -> None:
    fair = queue(max_queue=6, age_s=3)
    there: list[Ticket[str]] = []
    running: list[Ticket[str]] = []
    for now, (kind, tenant, priority) in enumerate(events):
        if kind <= 1:
            one = ticket(f"t{tenant}", priority=priority)
            try:
                out = fair.enqueue(one, float(now))
            except QueueFull:
                assert len(there) == 6
            else:
                there.append(one)
                if out is not None:
                    there.remove(out)
        elif kind == 2 and there:
            one = there.pop(tenant % len(there))
            fair.leave(one)
            fair.leave(one)
        elif (got := fair.next(ENGINE, float(now))) is not None:
            there.remove(got)
            running.append(got)
            if tenant % 2:
                fair.end(running.pop(0), 1, 1)
        assert fair.length == sum(fair.waiting().values()) == len(there)
        rows = fair.snapshot(float(now))
        assert sum(row.waiting for row in rows) == len(there)
        assert sum(row.running for row in rows) == len(running)
        for name in ("interactive", "standard", "batch"):
            mine = [row.counter for row in rows if row.priority == name]
            assert mine == sorted(mine)
    assert sorted(served(fair, now=1e6)) == sorted(one.tenant for one in there)
