"""Which waiting call is next: a pure decider. No event loop; the clock is passed in.

- The highest class first: interactive, standard, batch. A call that has waited for `age_s` counts as of the next class
  up, and again after each further `age_s`: no class starves.
- Within a class the tenant with the least virtual token counter (counters.py); every class has counters of its own, so
  that what a tenant is given in one does not cost it its turn in another, and a tenant that a higher class kept from
  service brings no credit into it when its calls age.
- Within a tenant first come, first served.
- A call is passed over where the freed engine cannot serve it.

A counter is charged `PROMPT_COST` for each token of the prompt when the call goes to an engine (an estimate until the
engine tells), `COMPLETION_COST` for each token of the answer as it comes, and corrected to its count in the end.

**The bound.** While two tenants of one class both have calls waiting that the same engines can serve, the service that
each is given (charged tokens / weight) never differs by more than 2 U, with U = COMPLETION_COST * M / (the smaller
weight) and M = the sum of max_in_flight over these engines x (longest prompt + longest answer): the tokens that can be
in flight, as the paper's M is what fits into the engine's memory. Why: take tenants f and g at a moment, and the last
dispatch of a call of f before it. Then f had the least counter, at most that of g. Since then f gained, and g lost,
only by calls that were in flight at that dispatch: prompts charged or corrected, answers charged. Both together are at
most all calls that can be in flight, and each moves a counter by at most PROMPT_COST x its prompt + COMPLETION_COST x
its answer, that is by at most COMPLETION_COST for each of its tokens, divided by the weight. So c_f - c_g <= U at every
moment, by symmetry |c_f - c_g| <= U, and what is given between two moments differs by at most 2 U. This is the paper's
2 max(w_p L_input, w_q M): a prompt alone is part of M and costs less. Longest prompt means the longer of the real one
and its estimate. A change of weight and a call that ages into the class begin another interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, get_args

from server.admission.counters import Account, Counters
from server.config import PriorityClass

PROMPT_COST = 1.0  # the paper's w_p
COMPLETION_COST = 2.0  # the paper's w_q

CLASSES: tuple[PriorityClass, ...] = get_args(PriorityClass)  # from the highest to the lowest
RANKS: Mapping[str, int] = {name: rank for rank, name in enumerate(CLASSES)}

Engine = TypeVar("Engine")


def service(prompt: int, completion: int) -> float:
    """What a call with so many tokens is charged, before the tenant's weight."""
    return PROMPT_COST * prompt + COMPLETION_COST * completion


class QueueFull(Exception):
    """`max_queue` calls of the model are waiting already, and nobody has more of them than this call's tenant."""


class Ticket(Generic[Engine]):
    """A call that wants an engine, waits for one, or runs. Whoever holds it overrides the two calls at the end.

    `prompt` is the estimate of its prompt's tokens.
    """

    __slots__ = ("account", "charged", "engines", "model", "number", "priority", "prompt", "rank", "since", "tenant",
                 "waits", "weight")  # fmt: skip

    def __init__(
        self,
        engines: Sequence[Engine],
        model: str,
        tenant: str,
        *,
        weight: float = 1.0,
        priority: PriorityClass = "standard",
        prompt: int = 0,
    ) -> None:
        self.engines = engines
        self.model = model
        self.tenant = tenant
        self.weight = weight
        self.priority: PriorityClass = priority
        self.prompt = prompt
        self.rank = RANKS[priority]  # of the class that it counts as of
        self.waits = False
        self.since = 0.0
        self.number = 0  # in the order of coming
        self.charged = 0  # tokens of the answer
        self.account: Account[Ticket[Engine]] | None = None

    def granted(self, engine: Engine) -> None:
        """It runs on `engine` from here on. Called at most once."""

    def pushed_out(self) -> None:
        """It waits no longer: its place was needed for a tenant that has fewer."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A tenant's place in one class, as `portico status` shows it."""

    priority: PriorityClass
    tenant: str
    weight: float
    counter: float  # charged tokens / weight since the class was last idle
    waiting: int
    running: int
    longest_wait_s: float


class FairQueue(Generic[Engine]):
    """The calls before engines that share work. At most `max_queue` wait for each model."""

    def __init__(self, max_queue: int, age_s: float) -> None:
        self._max_queue = max_queue
        self._age_s = age_s
        self._classes = tuple(Counters[Ticket[Engine]]() for _ in CLASSES)
        self._lengths: dict[str, dict[str, int]] = {}  # waiting calls by model and tenant
        self._came = 0
        self.length = 0  # all calls that wait

    # A call comes and goes

    def begin(self, ticket: Ticket[Engine]) -> None:
        """An engine has room for it: it runs without having waited."""
        counters = self._classes[ticket.rank]
        ticket.account = account = counters.join(ticket.tenant, ticket.weight)
        counters.begin(account, PROMPT_COST * ticket.prompt)

    def enqueue(self, ticket: Ticket[Engine], now: float) -> Ticket[Engine] | None:
        """A place in the queue; what was pushed out for it, if anything. Raises `QueueFull`."""
        tenants = self._lengths.setdefault(ticket.model, {})
        out = None
        if sum(tenants.values()) >= self._max_queue:
            out = self._to_push_out(ticket, tenants)
            self.leave(out)
        self._came += 1
        ticket.number, ticket.since, ticket.waits = self._came, now, True
        self._wait(ticket)
        self.length += 1
        tenants[ticket.tenant] = tenants.get(ticket.tenant, 0) + 1
        return out

    def leave(self, ticket: Ticket[Engine]) -> None:
        """It waits no longer; no harm if it does not."""
        if not ticket.waits or ticket.account is None:
            return
        ticket.waits = False
        self.length -= 1
        tenants = self._lengths[ticket.model]
        tenants[ticket.tenant] -= 1
        if not tenants[ticket.tenant]:
            del tenants[ticket.tenant]
        self._classes[ticket.rank].remove(ticket.account, ticket)

    def runs(self, ticket: Ticket[Engine]) -> bool:
        """Whether its tenant has a call running in its class."""
        return self._classes[ticket.rank].runs(ticket.tenant)

    def next(self, engine: Engine, now: float, *, reserved: bool = False) -> Ticket[Engine] | None:
        """Takes out the call that `engine` shall serve; None if nobody waits for it.

        `reserved`: None too if the tenant whose turn it is has a call running. Nobody else gets its turn: the bound.
        """
        self._age(now)
        for counters in self._classes:
            ticket = _first(counters, engine)
            if ticket is not None and ticket.account is not None:
                if reserved and ticket.account.running:
                    return None
                counters.begin(ticket.account, PROMPT_COST * ticket.prompt)
                self.leave(ticket)
                return ticket
        return None

    def charge(self, ticket: Ticket[Engine], completion: int) -> None:
        """The answer has so many tokens by now."""
        if completion > ticket.charged and ticket.account is not None:
            ticket.account.charge(COMPLETION_COST * (completion - ticket.charged))
            ticket.charged = completion

    def end(self, ticket: Ticket[Engine], prompt: int, completion: int) -> None:
        """A running call has ended; these were its tokens, whatever was charged for it."""
        account = ticket.account
        if account is not None:
            ticket.account = None
            account.charge(service(prompt - ticket.prompt, completion - ticket.charged))
            self._classes[ticket.rank].end(account)

    # To be looked at

    def waiting(self) -> dict[tuple[str, PriorityClass], int]:
        """How many wait, by model and the class that they came with."""
        found: dict[tuple[str, PriorityClass], int] = {}
        for counters in self._classes:
            for account in counters.waiting.values():
                for ticket in account.waiting:
                    key = (ticket.model, ticket.priority)
                    found[key] = found.get(key, 0) + 1
        return found

    def snapshot(self, now: float) -> list[Standing]:
        """The tenants in the order in which they are served, class by class; idle ones are left out."""
        return [
            Standing(
                name,
                account.tenant,
                account.weight,
                account.counter,
                len(account.waiting),
                account.running,
                now - account.waiting[0].since if account.waiting else 0.0,
            )
            for name, counters in zip(CLASSES, self._classes, strict=True)
            for account in sorted(counters.active(), key=lambda one: (one.counter, one.running))
        ]

    # Within

    def _wait(self, ticket: Ticket[Engine]) -> None:
        counters = self._classes[ticket.rank]
        ticket.account = counters.join(ticket.tenant, ticket.weight)
        counters.add(ticket.account, ticket)

    def _to_push_out(self, newcomer: Ticket[Engine], tenants: Mapping[str, int]) -> Ticket[Engine]:
        """The newest call, of the lowest class, of the tenant with the most. Raises `QueueFull`.

        Only if that leaves the two less unequal: otherwise each newcomer would push out another's in turn.
        """
        longest = max(tenants, key=tenants.__getitem__, default=newcomer.tenant)
        if tenants.get(longest, 0) <= tenants.get(newcomer.tenant, 0) + 1:
            raise QueueFull
        for counters in reversed(self._classes):
            account = counters.waiting.get(longest)
            for ticket in reversed(account.waiting) if account is not None else ():
                if ticket.model == newcomer.model:
                    return ticket
        raise AssertionError("a tenant has waiting calls and none was found")

    def _age(self, now: float) -> None:
        """Move up what has waited long enough."""
        aged = now - self._age_s
        for rank in range(1, len(CLASSES)):
            counters = self._classes[rank]
            for account in tuple(counters.waiting.values()):
                for ticket in tuple(account.waiting) if account.waiting[0].since <= aged else ():
                    if ticket.since > aged:
                        break
                    if ticket.since + self._age_s * (RANKS[ticket.priority] - rank + 1) <= now:
                        counters.remove(account, ticket)
                        ticket.rank = rank - 1
                        self._wait(ticket)


def _first(counters: Counters[Ticket[Engine]], engine: Engine) -> Ticket[Engine] | None:
    """The oldest call that the engine can serve of the tenant with the least counter.

    Of equals the one with fewer running calls, then one that was not served last.
    """
    best: Ticket[Engine] | None = None
    least = (0.0, 0, False)
    for account in counters.waiting.values():
        here = (account.counter, account.running, account is counters.last)
        if best is None or here < least:
            ticket = next((one for one in account.waiting if engine in one.engines), None)
            if ticket is not None:
                best, least = ticket, here
    return best
