"""`python -m bench.screens`: what a policy's rules cost: to build, per prompt, per chunk of a stream, on hostile text.

In one process, without a network: the time of the event loop that the rules take from everybody else.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench import machine
from bench.environments import say
from bench.results import RESULTS, write_section
from bench.table import markdown, number
from server.call import Call, Key, Project, ServedModel
from server.config import Model
from server.moderation.build import build_matchers
from server.moderation.decisions import Decision
from server.moderation.guard import Guard
from server.moderation.policy import JudgeUse, Policy, PolicyFile
from server.moderation.ruleset import Ruleset
from server.moderation.segments import Segment

TITLE = "Moderation: the cost of rules"
LITERALS = 10_000
DETECTORS = ("email", "phone", "credit_card", "iban", "cn_resident_id", "us_ssn", "ip_address", "secrets")
PROSE = (
    "Summarise the following notes for a colleague who was away. Keep names and dates, and say what is still open. On "
    "Monday the team moved the search index to the new machines; two shards had to be rebuilt, which took until the "
    "evening. On Tuesday the load test showed that the p99 had halved. The rollout to the second region waits for the "
    "review of the backup plan, which Ana has and will send by Friday. "
)
HOSTILE: dict[str, str] = {
    "separators": ". - " * 250_000,
    "combining marks": "a" + "\u0301" * 999_999,
    "zero-width": "a\u200b" * 500_000,
    "near-matches": "exampl" * 166_666,
    "digits": "4111-1111 " * 100_000,
    "half of an address": "a@a." * 250_000,
}


@dataclass
class Line:
    """Seconds."""

    build: float
    prompt: float
    chunk: float
    held: float  # characters, on average after each character of the prompt
    plain: float  # of 1 MB
    hostile: dict[str, float] = field(default_factory=dict[str, float])


def literals() -> list[str]:
    """Words without meaning, a tenth of them Chinese; none is in the prose."""
    rng = random.Random(1)
    small, han = "abcdefghijklmnopqrstuvwxyz", [chr(code) for code in range(0x4E00, 0x9FA5)]
    latin = ["".join(rng.choices(small, k=rng.randint(6, 12))) for _ in range(LITERALS * 9 // 10)]
    chinese = ["".join(rng.choices(han, k=rng.randint(2, 5))) for _ in range(LITERALS // 10)]
    return latin + chinese


def policy(with_literals: bool, with_detectors: bool) -> Policy:
    rules: list[dict[str, Any]] = []
    if with_literals:
        rules.append({"id": "literals", "category": "own", "literals": literals(), "action": "block"})
    if with_detectors:
        rules.append({"id": "detectors", "category": "privacy", "detectors": DETECTORS, "action": "redact"})
    return Policy(PolicyFile.model_validate({"name": "bench", "version": 1, "rules": rules}), b"", {})


def measure(one: Policy) -> Line:
    ruleset = Ruleset(one, build_matchers, _no_judge)
    build, _ = _once(ruleset.prepare)
    prompt = (PROSE * 3)[:1000]
    chunks = [f"{word} " for word in prompt.split(" ")]
    prompts = statistics.median(_once(lambda: inspect(ruleset, prompt))[0] for _ in range(300))
    streams = statistics.median(_once(lambda: read(ruleset, chunks))[0] for _ in range(150))
    plain = PROSE * (10**6 // len(PROSE))
    line = Line(build, prompts, streams / len(chunks), held(ruleset, prompt), _once(lambda: inspect(ruleset, plain))[0])
    for name, text in HOSTILE.items():
        line.hostile[name] = _once(lambda text=text: inspect(ruleset, text))[0]
    return line


def inspect(ruleset: Ruleset, text: str) -> int:
    """As of a request of one message; the number of hits."""
    inspection = guard(ruleset).inspection([Segment("messages[0].content", "content", text)])
    for _ in inspection.steps():
        pass
    return len(inspection.hits)


def read(ruleset: Ruleset, chunks: list[str]) -> int:
    """As of a stream; the number of characters that left."""
    editor = guard(ruleset).editor(0, "content")
    return 0 if editor is None else sum(len(editor.feed(one)) for one in chunks) + len(editor.finish())


def held(ruleset: Ruleset, text: str) -> float:
    """Characters of a stream that wait to leave, on average, if it comes one by one."""
    editor = guard(ruleset).editor(0, "content")
    if editor is None:
        return 0.0
    waiting, total = 0, 0
    for one in text:
        waiting += 1 - len(editor.feed(one))
        total += waiting
    return total / len(text)


def guard(ruleset: Ruleset) -> Guard:
    model = ServedModel("m", Model(engines=("e",), context_length=4096), 0)
    key = Key("key", "key", Project("project", "project"))
    call = Call("req", "chat.completions", key, model, None, stream=True, include_usage=False)
    return Guard(ruleset, call, b"secret", _untold, Untimed())


class Untimed:
    def scanned(self, direction: str, characters: int, seconds: float) -> None:
        pass

    def judged(self, judge: str, seconds: float) -> None:
        pass


def _untold(decision: Decision) -> None:
    pass


def _no_judge(policy: Policy, use: JudgeUse) -> Any:
    raise AssertionError("this policy has no judges")


def _once(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def report(lines: dict[str, Line]) -> str:
    heading = [
        "rules",
        "build s",
        "1 kB prompt µs",
        "chunk µs",
        "held",
        "1 MB plain ms",
        "worst hostile 1 MB",
        "ms",
        "x plain",
    ]
    cells = [heading]
    for name, line in lines.items():
        worst, seconds = max(line.hostile.items(), key=lambda one: one[1])
        figures = [
            (line.build, 2),
            (line.prompt * 1e6, 0),
            (line.chunk * 1e6, 1),
            (line.held, 1),
            (line.plain * 1e3, 0),
        ]
        row = [name, *(number(*one) for one in figures), worst]
        cells.append([*row, number(seconds * 1e3, 0), number(seconds / line.plain, 1)])
    last = lines["both"]
    bars = [
        ("1 kB prompt, both", last.prompt * 1e6, 60, "µs"),
        ("chunk of a stream, both", last.chunk * 1e6, 10, "µs"),
        ("held of a stream, literals alone", lines["literals"].held, 2, "characters"),
        ("build, both", last.build, 1, "s"),
        ("hostile / plain text, both", max(last.hostile.values()) / last.plain, 10, "x"),
    ]
    verdicts = [
        f"- {what}: {number(value, 1)} {unit} (bar {bar}): {'met' if value <= bar else 'MISSED'}"
        for what, value, bar, unit in bars
    ]
    return f"{markdown(cells)}\n\n" + "\n".join(verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.screens", description="What a policy's rules cost.")
    parser.add_argument("--write", action="store_true", help=f"keep the table in bench/{RESULTS.name}")
    args = parser.parse_args()
    lines: dict[str, Line] = {}
    for name, parts in {"literals": (True, False), "detectors": (False, True), "both": (True, True)}.items():
        lines[name] = measure(policy(*parts))
        say(f"{name}: measured")
    text = (
        f"{machine.describe()}\n\n`literals`: {LITERALS:,} in one rule; `detectors`: {', '.join(DETECTORS)}. A chunk "
        f"is a word of the prompt; held: characters that wait on average, if they come one by one. "
        f"Hostile texts: {', '.join(HOSTILE)}.\n\n{report(lines)}"
    )
    print(text)
    if args.write:
        write_section(TITLE, f"Made by `python -m bench.screens --write`.\n\n{text}")
        say(f"written to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
