"""`python -m bench.batches`: what a batch does to the time to first token of people.

    python -m bench.batches --write

One gateway before the simulated engine, which computes so many calls at once. People are a few clients that stream, one
answer after another. They are measured alone and beside a batch with more lines than can end in the time, in turns, so
that a busy moment of the machine hits both alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import uvloop
from openai import OpenAI

from bench import machine, table
from bench.answers import Whole
from bench.client import Target
from bench.environments import say
from bench.fairness import SIMULATED as ENGINE
from bench.fairness import Backend, start_simulated
from bench.load import chat_body, percentile
from bench.measure import wait_answer
from bench.peers import Running, portico_program
from bench.process import Process, StartError, free_ports
from bench.results import RESULTS, write_section
from bench.tenants import Tenant, run

PEOPLE, OWNER = "sk-bench-of-people-0123456789abcdef", "sk-bench-of-the-batch-0123456789abcdef"
ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
MOVED = 1.10
"""The bar: a percentile of the first token beside a batch / alone."""


@dataclass(frozen=True)
class Plan:
    """Times in seconds, sizes in tokens."""

    seqs: int = 64
    seconds: float = 15.0
    warm_s: float = 4.0
    rounds: int = 3
    clients: int = 6
    prompt: int = 100
    answer: tuple[int, int] = (10, 30)
    pause_s: float = 0.2
    lines: int = 20_000
    line_prompt: int = 200
    line_answer: int = 100


@dataclass
class Found:
    """Of one way: seconds to the first tokens; lines that ended and the time in which they did."""

    name: str
    first_tokens: list[float] = field(default_factory=list[float])
    lines: int = 0
    seconds: float = 0.0

    def ms(self, percent: float) -> float:
        return 1e3 * percentile(self.first_tokens, percent)


def configuration(backend: Backend, plan: Plan, ports: tuple[int, int], folder: Path) -> str:
    """Two static keys of two projects."""
    keys = [
        {"name": name, "project": name, "key_sha256": hashlib.sha256(key.encode()).hexdigest()}
        for name, key in (("people", PEOPLE), ("owner", OWNER))
    ]
    tree = {
        "server": {"port": ports[0]},
        "metrics": {"port": ports[1]},
        "stores": {"durable": f"sqlite:///{folder}/portico.db", "spool": f"{folder}/spool"},
        "files": {"folder": f"{folder}/files"},
        "batches": {"max_in_flight": 10 * plan.seqs},
        "auth": {"static_keys": keys},
        "engines": {"engine": {"url": f"{backend.base}/v1", "max_in_flight": plan.seqs}},
        "models": {backend.model: {"engines": ["engine"], "context_length": 8192}},
        "logging": {"format": "json"},
    }
    return json.dumps(tree)


def batch_input(plan: Plan, model: str) -> bytes:
    """JSON Lines."""
    words = "word " * plan.line_prompt
    lines: list[bytes] = []
    for number in range(plan.lines):
        messages = [{"role": "user", "content": f"Note {number}. {words}"}]
        # With a stop text the engine is asked for a stream, and the simulated one takes its time for streams only.
        body = {"model": model, "messages": messages, "max_completion_tokens": plan.line_answer, "stop": "<end>"}
        lines.append(
            json.dumps(
                {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}
            ).encode()
        )
    return b"\n".join(lines)


def verdicts(alone: Found, beside: Found) -> list[str]:
    found: list[str] = []
    for percent in (50, 99):
        moved = beside.ms(percent) / alone.ms(percent)
        met = "met" if moved < MOVED else "MISSED"
        found.append(f"p{percent} of the first token, beside a batch / alone: {moved:.2f} (below {MOVED:g}): {met}")
    return found


def report(alone: Found, beside: Found) -> str:
    cells = [["load", "first tokens", "TTFT p50 ms", "p99 ms", "lines/s"]]
    for one in (alone, beside):
        rate = one.lines / one.seconds if one.lines else float("nan")
        figures = (table.number(one.ms(percent), 1) for percent in (50, 99))
        cells.append([one.name, str(len(one.first_tokens)), *figures, table.number(rate, 1)])
    return table.markdown(cells) + "\n\n" + "\n".join(f"- {verdict}" for verdict in verdicts(alone, beside))


def described(plan: Plan) -> str:
    """The conditions, in a paragraph."""
    low, high = plan.answer
    return (
        f"Engine: simulated, {plan.seqs} calls at once, 20 ms a token, 50 ms and the prompt's time to the first. "
        f"People: {plan.clients} clients, prompts of {plan.prompt} tokens, answers of {low} to {high}, a pause of "
        f"{plan.pause_s:g} s. The batch: {plan.lines} lines of {plan.line_prompt} words, answers of "
        f"{plan.line_answer} tokens, with the default share. {plan.rounds} rounds of {plan.seconds:g} s each, alone "
        "and beside the batch in turns."
    )


class Bench:
    def __init__(self, plan: Plan, backend: Backend, running: Running) -> None:
        self._plan = plan
        self._model = backend.model
        self._base = running.base
        self._client = OpenAI(base_url=f"{running.base}/v1", api_key=OWNER)
        self.alone, self.beside = Found("alone"), Found("beside a batch")

    def all(self) -> None:
        file = self._client.files.create(file=("in.jsonl", batch_input(self._plan, self._model)), purpose="batch")
        for number in range(self._plan.rounds):
            self._measure(self.alone)
            self._beside(file.id)
            medians = f"{self.alone.ms(50):.1f} ms alone, {self.beside.ms(50):.1f} beside"
            say(f"round {number + 1}/{self._plan.rounds}: {medians}")

    def _beside(self, file_id: str) -> None:
        made = self._client.batches.create(input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h")
        self._until(made.id, "in_progress")
        before, began = self._done(made.id), time.monotonic()
        self._measure(self.beside)
        self.beside.lines += self._done(made.id) - before
        self.beside.seconds += time.monotonic() - began
        self._client.batches.cancel(made.id)
        self._until(made.id, "cancelled")

    def _measure(self, found: Found) -> None:
        plan = self._plan
        tenant = Tenant("people", PEOPLE, plan.clients, plan.prompt, plan.answer, plan.pause_s)
        load = uvloop.run(run(self._base, self._model, [tenant], plan.warm_s, plan.seconds))
        if load.errors:
            say(f"{found.name}: {dict(load.errors.most_common(3))}")
        found.first_tokens += load.first_tokens("people")

    def _done(self, batch_id: str) -> int:
        counts = self._client.batches.retrieve(batch_id).request_counts
        return 0 if counts is None else counts.completed

    def _until(self, batch_id: str, status: str) -> None:
        """Raises StartError."""
        for _ in range(600):
            now = self._client.batches.retrieve(batch_id).status
            if now == status:
                return
            if now in ("failed", "completed", "expired"):
                raise StartError(f"the batch is {now}")
            time.sleep(0.1)
        raise StartError(f"the batch did not come to be {status}")


def start_gateway(plan: Plan, backend: Backend, folder: Path, stack: ExitStack) -> Running:
    port, metrics_port = free_ports(2)
    path = folder / "portico.yaml"
    path.write_text(configuration(backend, plan, (port, metrics_port), folder), encoding="utf-8")
    process = Process([portico_program(), "serve", "--config", path], folder / "portico.log")
    stack.callback(process.stop)
    running = Running(process, f"http://127.0.0.1:{port}", "")
    body = chat_body(backend.model, 8, stream=False)
    uvloop.run(wait_answer(running, Target(running.base, PEOPLE), body, Whole))
    return running


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description="What a batch does to first tokens.")
    parser.add_argument("--seconds", type=float, help=f"of each measurement ({Plan.seconds:g})")
    parser.add_argument("--rounds", type=int, help=f"alone and beside a batch, in turns ({Plan.rounds})")
    parser.add_argument("--write", action="store_true", help=f"keep the table in bench/{RESULTS.name}")
    return parser.parse_args()


def main() -> int:
    args = _arguments()
    plan = Plan(seconds=args.seconds or Plan.seconds, rounds=args.rounds or Plan.rounds)
    where = machine.describe()
    if machine.busy():
        say("This machine is busy: times are too long and scatter; compare only within this run.")
    with tempfile.TemporaryDirectory(prefix="portico-batches-") as scratch, ExitStack() as stack:
        try:
            backend = start_simulated(replace(ENGINE, seqs=plan.seqs), Path(scratch), stack)
            bench = Bench(plan, backend, start_gateway(plan, backend, Path(scratch), stack))
            bench.all()
        except StartError as error:
            say(str(error))
            return 1
    text = f"{where}\n\n{described(plan)}\n\n{report(bench.alone, bench.beside)}"
    print(text)
    if args.write:
        write_section("People beside a batch", f"Made by `python -m bench.batches --write`.\n\n{text}")
        say(f"written to {RESULTS}")
    return 1 if "MISSED" in text else 0


if __name__ == "__main__":
    sys.exit(main())
