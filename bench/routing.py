"""Policies of choosing an engine, in virtual time: how much of the prompts is found in caches, and how long the first
token takes. `python -m bench.routing [--write]`; seconds, no engine.

The trace is of conversations in several turns, as chat services publish them: they come at random, each turn sends all
that was said before, a tenth brings a long document, and a few applications share their instructions. An engine reads
one prompt after the other, at a rate, without what is in its cache; that forgets what was used longest ago. Answers are
written side by side, the slower the more there are. The chooser is the one that Portico runs (server/admission).
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from bench.results import write_section
from server.admission.routing import choose, work_left

TITLE = "Choosing an engine (simulated)"
ENGINES = 4
SLOTS = 64
READ_PER_S = 15_000.0  # tokens of prompts
WRITE_PER_S = 4_000.0  # tokens of answers, all together
FASTEST_PER_S = 150.0  # of one answer
CACHE_TOKENS = 500_000
CONVERSATIONS = 3_000
APPLICATIONS = 12


@dataclass(frozen=True)
class Turn:
    at: float
    conversation: int
    application: int
    instructions: int  # tokens
    prompt: int  # tokens, all of it
    answer: int


@dataclass
class Engine:
    name: str
    capacity: int = SLOTS
    outstanding: float = 0.0
    in_flight: int = 0
    free_at: float = 0.0  # when it has read what it was given
    cache: OrderedDict[tuple[str, int], int] = field(default_factory=OrderedDict[tuple[str, int], int])
    cached: int = 0

    def found(self, turn: Turn) -> int:
        """Tokens of the prompt that need not be read."""
        own = self.cache.get(("conversation", turn.conversation), 0)
        return own or self.cache.get(("application", turn.application), 0)

    def keep(self, turn: Turn) -> None:
        self._put(("application", turn.application), turn.instructions)
        self._put(("conversation", turn.conversation), turn.prompt + turn.answer)

    def _put(self, key: tuple[str, int], tokens: int) -> None:
        self.cached += tokens - self.cache.pop(key, 0)
        self.cache[key] = tokens
        while self.cached > CACHE_TOKENS:
            self.cached -= self.cache.popitem(last=False)[1]


Policy = Callable[[Sequence[Engine], Turn], Engine]


def trace(per_s: float, seed: int) -> list[Turn]:
    """Turns in order of time; `per_s` conversations begin in a second."""
    dice = random.Random(seed)
    instructions = [dice.randint(200, 3_000) for _ in range(APPLICATIONS)]
    turns: list[Turn] = []
    begins = 0.0
    for conversation in range(CONVERSATIONS):
        begins += dice.expovariate(per_s)
        application = min(int(dice.expovariate(0.35)), APPLICATIONS - 1)
        said, at = instructions[application], begins
        if dice.random() < 0.1:
            said += dice.randint(2_000, 12_000)
        while True:
            said += max(5, int(dice.lognormvariate(4, 1)))
            answer = max(10, min(2_000, int(dice.lognormvariate(5.3, 0.8))))
            turns.append(Turn(at, conversation, application, instructions[application], said, answer))
            said += answer
            if dice.random() < 0.2:
                break
            at += 3 + dice.expovariate(1 / 15)
    return sorted(turns, key=lambda turn: turn.at)


def policies() -> dict[str, Policy]:
    turn_of: Iterator[int] = count()

    def prefix(turn: Turn) -> int:
        return random.Random(turn.conversation).getrandbits(64)

    return {
        "round robin": lambda engines, turn: engines[next(turn_of) % len(engines)],
        "fewest calls": lambda engines, turn: min(engines, key=lambda one: one.in_flight),
        "fewest tokens": lambda engines, turn: choose(engines, None, work_left(turn.prompt, 256, 0)),
        "prefix, bounded (Portico)": lambda engines, turn: choose(
            engines, prefix(turn), work_left(turn.prompt, 256, 0)
        ),
    }


@dataclass(frozen=True)
class Outcome:
    hit_rate: float  # tokens found in caches / tokens of prompts
    ttft_s: list[float]  # in order of size
    most: float  # tokens written by the busiest engine / by the average one

    def quantile(self, share: float) -> float:
        return self.ttft_s[min(len(self.ttft_s) - 1, int(share * len(self.ttft_s)))]


def simulate(turns: Sequence[Turn], policy: Policy) -> Outcome:
    engines = [Engine(f"engine-{number}") for number in range(ENGINES)]
    ends: list[tuple[float, int, Engine, float, Turn]] = []
    waits: list[float] = []
    found = asked = 0
    written = dict.fromkeys((engine.name for engine in engines), 0)
    for number, turn in enumerate(turns):
        while ends and ends[0][0] <= turn.at:
            _, _, engine, work, ended = heapq.heappop(ends)
            engine.in_flight -= 1
            engine.outstanding = max(0.0, engine.outstanding - work)
            engine.keep(ended)
        roomy = [engine for engine in engines if engine.in_flight < engine.capacity] or engines
        engine = policy(roomy, turn)
        here = min(engine.found(turn), turn.prompt)
        found, asked = found + here, asked + turn.prompt
        first = max(engine.free_at, turn.at) + (turn.prompt - here) / READ_PER_S
        engine.free_at = first
        engine.in_flight += 1
        work = work_left(turn.prompt, 256, 0)
        engine.outstanding += work
        written[engine.name] += turn.answer
        pace = min(FASTEST_PER_S, WRITE_PER_S / engine.in_flight)
        heapq.heappush(ends, (first + turn.answer / pace, number, engine, work, turn))
        waits.append(first - turn.at)
    busiest = max(written.values()) / (sum(written.values()) / ENGINES)
    return Outcome(found / asked, sorted(waits), busiest)


def table(seed: int = 1) -> str:
    lines = [
        f"{ENGINES} engines that read {READ_PER_S:,.0f} tokens/s, {CONVERSATIONS:,} conversations, caches of "
        f"{CACHE_TOKENS:,} tokens each; a simulation in virtual time, not a measurement (`python -m bench.routing`).",
        "",
        "| conversations/s | policy | found in caches | TTFT p50 ms | p99 ms | busiest engine, of the average |",
        "|---|---|---|---|---|---|",
    ]
    for per_s in (2.0, 5.0, 8.0):
        turns = trace(per_s, seed)
        for name, policy in policies().items():
            outcome = simulate(turns, policy)
            p50, p99 = outcome.quantile(0.5) * 1000, outcome.quantile(0.99) * 1000
            lines.append(
                f"| {per_s:g} | {name} | {outcome.hit_rate:.0%} | {p50:,.0f} | {p99:,.0f} | {outcome.most:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into bench/RESULTS.md")
    arguments = parser.parse_args()
    text = table()
    print(text)
    if arguments.write:
        write_section(TITLE, text)


if __name__ == "__main__":
    main()
