"""The breaker against its rules, told again in the plainest way."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from server.breaker import Breaker

FAILURES, PAUSE_S = 3, 10.0
STEPS = st.lists(
    st.tuples(
        st.sampled_from((0.0, 1.0, 9.0, 10.0, 25.0)),
        st.sampled_from(("enter", "enter", "well", "ill", "ill", "ill", "left")),
        st.integers(0, 9),
    ),
    max_size=80,
)


@dataclass
class Rules:
    """A list of what happened since the state began; the state follows from it."""

    outcomes: list[bool] = field(default_factory=list)  # of questions asked in this state
    asked: set[int] = field(default_factory=set)  # in this state
    opened: float | None = None
    probe: int | None = None

    def may_ask(self, now: float) -> bool:
        return self.opened is None or (now >= self.opened + PAUSE_S and self.probe is None)

    def ask(self, number: int) -> None:
        if self.opened is None:
            self.asked.add(number)
        else:
            self.probe = number

    def hear(self, number: int, well: bool | None, now: float) -> None:
        if self.opened is not None and number == self.probe:
            self.probe = None
            if well:
                self.opened, self.outcomes, self.asked = None, [], set()
            elif well is not None:
                self.opened = now
        elif self.opened is None and number in self.asked and well is not None:
            self.outcomes.append(well)
            if self.outcomes[-FAILURES:] == [False] * FAILURES:
                self.opened = now


@given(STEPS)
def test_the_breaker_keeps_its_rules(steps: list[tuple[float, str, int]]) -> None:
    breaker, rules, now = Breaker(FAILURES, PAUSE_S), Rules(), 100.0
    tickets: dict[int, int] = {}
    for number, (gap, verb, which) in enumerate(steps):
        now += gap
        assert breaker.admits(now) == rules.may_ask(now)
        if verb == "enter":
            ticket = breaker.enter(now)
            assert (ticket is not None) == rules.may_ask(now)
            if ticket is not None:
                rules.ask(number)
                tickets[number] = ticket
        elif tickets:
            one = sorted(tickets)[which % len(tickets)]
            well = {"well": True, "ill": False, "left": None}[verb]
            breaker.leave(tickets.pop(one), well, now)
            rules.hear(one, well, now)
        assert breaker.closed == (rules.opened is None)


def test_a_story() -> None:
    breaker = Breaker(failures=2, pause_s=10)
    old = breaker.enter(0)
    for now in (1.0, 2.0):
        ticket = breaker.enter(now)
        assert old is not None and ticket is not None
        breaker.leave(ticket, False, now)
    assert breaker.enter(11.9) is None
    probe = breaker.enter(12.0)
    assert probe is not None
    assert breaker.enter(12.0) is None, "one probe at a time"
    breaker.leave(probe, None, 12.5)  # whoever asked has left
    probe = breaker.enter(12.5)
    assert probe is not None
    breaker.leave(probe, True, 13.0)
    assert breaker.closed
    breaker.leave(old, False, 14.0)  # from before the outage
    ticket = breaker.enter(14.0)
    assert ticket is not None
    breaker.leave(ticket, False, 14.0)
    assert breaker.closed, "one failure since the probe"
