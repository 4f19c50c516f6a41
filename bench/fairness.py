"""`python -m bench.fairness`: what tenants do to each other, with the fair queue, first come first served, and without.

    python -m bench.fairness --write              # the simulated engine
    python -m bench.fairness --live --write       # vLLM on the CPU with the demo model (`make engine`)

- A flood: one tenant sends long prompts from ten times as many clients as the engine computes at once; another sends
  short ones, one at a time. How long does that one wait for its first token, and how long when it is alone?
- Shares: two tenants with more calls than the engine takes, one with long prompts and short answers, one the other way
  round. What is each given, in tokens of which one of an answer counts as two of a prompt, as the queue counts?

The same gateway three times: `fair` as it is; `fifo`, where both tenants are one project, so that who comes first is
served first; `engine's own`, where the gateway holds nothing back and calls wait in the engine's own queue.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from bench import machine, table
from bench.answers import Whole
from bench.client import Target
from bench.environments import say
from bench.gpu.engine import default_python, find_weights, home, start
from bench.load import chat_body, percentile
from bench.measure import wait_answer
from bench.peers import MODEL, Running, portico_program
from bench.process import Process, StartError, free_ports
from bench.results import RESULTS, write_section
from bench.tenants import Load, Tenant, run

ONE, OTHER = "sk-bench-of-the-one-0123456789abcdef", "sk-bench-of-the-other-0123456789abcdef"
FLOODS_KEY, TRICKLES_KEY = "flood", "trickle"
DATABASE = "portico.db"
NO_BOUND = 100_000
SHARES_OFF, SLOWER, LATER = 0.05, 0.98, 2.0
"""The targets: shares off their weights, throughput of fair / fifo, first token beside a flood / alone."""


@dataclass(frozen=True)
class Plan:
    """Times in seconds; the engine computes `seqs` calls at once; sizes in tokens."""

    title: str
    seqs: int
    seconds: float
    alone_s: float
    warm_s: float
    long_prompt: int
    short_prompt: int
    answer: tuple[int, int]
    short_answer: tuple[int, int]
    pause_s: float
    reserve: float = 0.02
    engine_flags: tuple[str, ...] = ()


SIMULATED = Plan("simulated engine", 64, 60.0, 30.0, 8.0, 2000, 100, (50, 150), (10, 30), 0.2)
PRESET = ("--no-enable-chunked-prefill", "--max-num-batched-tokens=8192")
LIVE = Plan("vLLM, demo model on the CPU", 64, 60.0, 30.0, 15.0, 400, 30, (20, 60), (5, 15), 0.5, engine_flags=PRESET)


@dataclass(frozen=True)
class Backend:
    """The engine: its base URL, its model, and whether it is vLLM."""

    base: str
    model: str
    vllm: bool


@dataclass(frozen=True)
class Way:
    """How the gateway is set up: see the top of this file."""

    name: str
    one_project: bool = False
    unbounded: bool = False
    weight: float = 1.0  # of the one; the other has 1


@dataclass(frozen=True)
class Line:
    """A row of the table. NaN: not measured."""

    name: str
    ttft_p50_ms: float = float("nan")
    ttft_p99_ms: float = float("nan")
    queued_p99_ms: float = float("nan")  # of that in Portico's queue; the rest is the engine's
    share: float = float("nan")
    wanted: float = float("nan")
    per_second: float = float("nan")


def configuration(backend: Backend, plan: Plan, way: Way, ports: tuple[int, int], folder: Path) -> str:
    """Two static keys of two projects (or of one)."""
    names = [("one", ONE), ("one" if way.one_project else "other", OTHER)]
    keys = [
        {"name": name, "project": project, "key_sha256": hashlib.sha256(key.encode()).hexdigest()}
        for name, (project, key) in zip((FLOODS_KEY, TRICKLES_KEY), names, strict=True)
    ]
    bound = NO_BOUND if way.unbounded else plan.seqs
    engine = {"url": f"{backend.base}/v1", "max_in_flight": bound, "vllm": backend.vllm}
    tree = {
        "server": {"port": ports[0]},
        "metrics": {"port": ports[1]},
        "stores": {"durable": f"sqlite:///{folder / DATABASE}"},
        "auth": {"static_keys": keys},
        "engines": {"engine": engine},
        "models": {backend.model: {"engines": ["engine"], "context_length": 8192}},
        "admission": {
            "max_queue": NO_BOUND,
            "max_wait_s": 3600,
            "age_s": 3600,
            "reserve": plan.reserve,
            "weights": {"one": way.weight},
        },
        "logging": {"format": "json"},
    }
    return json.dumps(tree)


def flood(plan: Plan) -> list[Tenant]:
    """Ten times the engine's capacity from one tenant, a trickle from the other."""
    return [Tenant("one", ONE, 10 * plan.seqs, plan.long_prompt, plan.answer), trickle(plan)]


def trickle(plan: Plan) -> Tenant:
    return Tenant("other", OTHER, 1, plan.short_prompt, plan.short_answer, plan.pause_s)


def backlogged(plan: Plan) -> list[Tenant]:
    """Two tenants of different habits, each with more than the engine takes."""
    low, high = plan.answer
    reader = Tenant("one", ONE, 3 * plan.seqs, plan.long_prompt, (max(1, low // 2), max(1, high // 2)))
    return [reader, Tenant("other", OTHER, 3 * plan.seqs, plan.short_prompt, plan.answer)]


def measured(name: str, load: Load, wanted: float | None) -> Line:
    """A row: the trickle's first tokens, or the share of the one where one is `wanted`."""
    if load.errors:
        say(f"{name}: {dict(load.errors.most_common(3))}")
    if wanted is not None:
        given = load.service()
        share = given.get("one", 0.0) / (sum(given.values()) or 1.0)
        return Line(name, share=share, wanted=wanted, per_second=load.per_second())
    times = [1e3 * one for one in load.first_tokens("other")]
    say(f"{name}: {len(times)} first tokens of the trickle")
    return Line(name, percentile(times, 50), percentile(times, 99), per_second=load.per_second())


def queued_ms(database: Path, key: str, begin: float, end: float) -> list[float]:
    """How long the calls of a key that ended between two moments (Unix seconds) waited in Portico's queue."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT queued_ms FROM usage WHERE key_id LIKE ? AND at_ms BETWEEN ? AND ?",
            (f"%{key}%", int(begin * 1000), int(end * 1000)),
        )
        return [float(wait) for (wait,) in rows]


def report(lines: dict[str, Line]) -> str:
    """The table and how the targets were met."""
    cells = [
        ["load and queue", "trickle TTFT p50 ms", "p99 ms", "p99 / alone", "in the queue p99 ms", "share of one",
         "its weight", "tokens/s"]
    ]  # fmt: skip
    alone = lines["alone"].ttft_p99_ms
    for line in lines.values():
        cells.append(
            [
                line.name,
                table.number(line.ttft_p50_ms, 0),
                table.number(line.ttft_p99_ms, 0),
                table.number(line.ttft_p99_ms / alone, 2),
                table.number(line.queued_p99_ms, 0),
                table.number(line.share, 3),
                table.number(line.wanted, 3),
                table.number(line.per_second, 0),
            ]
        )
    return table.markdown(cells) + "\n\n" + "\n".join(f"- {verdict}" for verdict in verdicts(lines))


def verdicts(lines: dict[str, Line]) -> list[str]:
    later = lines["flood fair"].ttft_p99_ms / lines["alone"].ttft_p99_ms
    speed = lines["flood fair"].per_second / lines["flood fifo"].per_second
    found = [
        f"trickle's p99 TTFT beside a flood / alone: {later:.2f} (at most {LATER:g}): {_met(later <= LATER)}",
        f"throughput, fair / fifo: {speed:.3f} (at least {SLOWER:g}): {_met(speed >= SLOWER)}",
    ]
    for line in lines.values():
        if line.name.startswith("shares fair"):
            off = abs(line.share / line.wanted - 1)
            found.append(f"{line.name}: {100 * off:.1f}% off the weight (at most 5%): {_met(off <= SHARES_OFF)}")
    return found


def described(plan: Plan) -> str:
    """The conditions, in a paragraph."""
    flags = f" ({', '.join(plan.engine_flags)})" if plan.engine_flags else ""
    kept = int(plan.reserve * plan.seqs)
    return (
        f"Engine: {plan.title}{flags}, {plan.seqs} calls at once, {kept} kept for who has none. "
        f"Flood: {10 * plan.seqs} clients with prompts of about {plan.long_prompt} tokens "
        f"and answers of {plan.answer[0]} to {plan.answer[1]}; trickle: one client, "
        f"{plan.short_prompt} tokens and {plan.short_answer[0]} to {plan.short_answer[1]}, a pause of "
        f"{plan.pause_s:g} s. Shares: {3 * plan.seqs} clients each, long prompts and half an answer beside short "
        f"prompts and a whole one; a token of an answer counts as two of a prompt. {plan.seconds:g} s each. In the "
        f"queue: in Portico's, of the time to the first token. Tokens/s: of answers."
    )


def _met(good: bool) -> str:
    return "met" if good else "MISSED"


class Bench:
    """One engine; a gateway is started for each way and stopped again."""

    def __init__(self, plan: Plan, backend: Backend, folder: Path) -> None:
        self._plan = plan
        self._backend = backend
        self._folder = folder
        self.lines: dict[str, Line] = {}

    def all(self) -> None:
        plan = self._plan
        fair, fifo, engine = Way("fair"), Way("fifo", one_project=True), Way("engine's own", unbounded=True)
        self._measure(
            fair, ("alone", [trickle(plan)], plan.alone_s, None), ("flood fair", flood(plan), plan.seconds, None)
        )
        self._measure(fifo, ("flood fifo", flood(plan), plan.seconds, None))
        self._measure(engine, ("flood engine's own", flood(plan), plan.seconds, None))
        self._measure(fair, ("shares fair 1:1", backlogged(plan), plan.seconds, 1 / 2))
        self._measure(replace(fair, weight=2.0), ("shares fair 2:1", backlogged(plan), plan.seconds, 2 / 3))
        self._measure(fifo, ("shares fifo", backlogged(plan), plan.seconds, 1 / 2))
        self._measure(engine, ("shares engine's own", backlogged(plan), plan.seconds, 1 / 2))

    def _measure(self, way: Way, *loads: tuple[str, list[Tenant], float, float | None]) -> None:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        running = self._start(way, folder)
        times: dict[str, tuple[float, float]] = {}
        try:
            for name, tenants, seconds, wanted in loads:
                begun = time.time() + self._plan.warm_s
                load = uvloop.run(run(running.base, self._backend.model, tenants, self._plan.warm_s, seconds))
                self.lines[name] = measured(name, load, wanted)
                if wanted is None:
                    times[name] = begun, begun + seconds
        finally:
            running.process.stop()  # what was used is in its database then
        for name, (begin, end) in times.items():
            queued = percentile(queued_ms(folder / DATABASE, TRICKLES_KEY, begin, end), 99)
            self.lines[name] = replace(self.lines[name], queued_p99_ms=queued)
        for name, *_ in loads:
            say(f"{self.lines[name]}")

    def _start(self, way: Way, folder: Path) -> Running:
        port, metrics_port = free_ports(2)
        path = folder / "portico.yaml"
        path.write_text(configuration(self._backend, self._plan, way, (port, metrics_port), folder), encoding="utf-8")
        process = Process([portico_program(), "serve", "--config", path], folder / "portico.log")
        running = Running(process, f"http://127.0.0.1:{port}", "")
        body = chat_body(self._backend.model, 8, stream=False)
        uvloop.run(wait_answer(running, Target(running.base, ONE), body, Whole))
        return running


def start_simulated(plan: Plan, folder: Path, stack: ExitStack) -> Backend:
    """20 ms a token, 50 ms and its prompt's time (20,000 tokens/s) to the first: a mid-size model on a good GPU."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bench.sim_engine", "--port", str(port), "--model", MODEL, "--chunks", "1000"]
    command += ["--interval-ms", "20", "--delay-ms", "50", "--prefill-per-s", "20000", "--seqs", str(plan.seqs)]
    process = Process(command, folder / "engine.log", {"PYTHONPATH": str(Path(__file__).parent.parent)})
    stack.callback(process.stop)
    return Backend(f"http://127.0.0.1:{port}", MODEL, vllm=False)


def start_live(plan: Plan, folder: Path, stack: ExitStack) -> Backend:
    """The engine that Portico installed, with the flags of its preset for the demo model. Raises StartError."""
    found = sorted((home().parent / "models").glob("gpt-oss-demo-*"))
    weights = find_weights(str(found[-1])) if found else None
    if weights is None:
        raise StartError("the demo model is not there: run `make engine`")
    flags = ["--enforce-eager", "--kv-cache-memory-bytes=512M", "--scheduling-policy=priority"]
    flags += ["--distributed-executor-backend=uni", *plan.engine_flags]
    engine = start(default_python(), weights, plan.seqs, flags, folder / "engine.log")
    if engine.process is not None:
        stack.callback(engine.process.stop)
    return Backend(engine.base, engine.model, vllm=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description="What tenants do to each other.")
    parser.add_argument("--live", action="store_true", help="before the real vLLM with the demo model")
    parser.add_argument("--seconds", type=float, help="of each measurement (60; the trickle alone has half)")
    parser.add_argument("--seqs", type=int, help="calls that the engine computes at once (64)")
    parser.add_argument("--reserve", type=float, help="admission.reserve (0.02)")
    parser.add_argument("--write", action="store_true", help=f"keep the table in bench/{RESULTS.name}")
    parser.add_argument(
        "engine_flags", nargs="*", help="with --live, after --: vLLM's, in place of the preset's prefill"
    )
    args = parser.parse_args()
    if args.engine_flags and not args.live:
        parser.error("there are no flags of an engine without --live")
    return args


def main() -> int:
    args = _arguments()
    plan = LIVE if args.live else SIMULATED
    if args.seconds:
        plan = replace(plan, seconds=args.seconds, alone_s=args.seconds / 2, warm_s=min(plan.warm_s, args.seconds))
    flags = tuple(args.engine_flags) or plan.engine_flags
    plan = replace(
        plan,
        seqs=args.seqs or plan.seqs,
        reserve=plan.reserve if args.reserve is None else args.reserve,
        engine_flags=flags,
    )
    where = machine.describe()
    if machine.busy():
        say("This machine is busy: times will be too long; shares and ratios within this run still say something.")
    begin: Callable[[Plan, Path, ExitStack], Backend] = start_live if args.live else start_simulated
    with tempfile.TemporaryDirectory(prefix="portico-fairness-") as scratch, ExitStack() as stack:
        try:
            bench = Bench(plan, begin(plan, Path(scratch), stack), Path(scratch))
            bench.all()
        except StartError as error:
            say(str(error))
            return 1
    text = f"{where}\n\n{described(plan)}\n\n{report(bench.lines)}"
    print(text)
    if args.write:
        made_by = f"Made by `python -m bench.fairness {'--live ' if args.live else ''}--write`."
        write_section(f"Fairness between tenants: {plan.title}", f"{made_by}\n\n{text}")
        say(f"written to {RESULTS}")
    return 1 if "MISSED" in text else 0


if __name__ == "__main__":
    sys.exit(main())
