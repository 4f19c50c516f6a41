"""`python -m bench.flood`: what a flood of wrong keys does to those who have a good one.

One process floods Portico, another asks with a good key, before the flood and beside it, in turns. All wrong keys
differ and have the form of real ones, so that none is refused for its looks and none is known from before.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench import cpu, machine
from bench.client import Client, Fault, Target
from bench.environments import say
from bench.load import UnaryRun, chat_body, percentile, run_unary
from bench.measure import wait_ready
from bench.peers import KEY, MODEL, Running, start_engine, start_portico_source
from bench.process import Process, StartError
from bench.results import RESULTS, write_section
from bench.table import markdown, number

TITLE = "A flood of wrong keys"
MOST_SLOWER = 1.1
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Plan:
    """Seconds of each measurement, how often they alternate, clients with a good key, connections of the flood."""

    seconds: float = 6.0
    rounds: int = 5
    clients: int = 4
    connections: int = 64


@dataclass
class Side:
    """All rounds of one way, times in milliseconds."""

    p50: list[float] = field(default_factory=list[float])
    p99: list[float] = field(default_factory=list[float])
    per_s: list[float] = field(default_factory=list[float])
    wrong_per_s: list[float] = field(default_factory=list[float])

    def note(self, run: UnaryRun, wrong: int, seconds: float) -> None:
        self.p50.append(percentile(run.latencies, 50) * 1e3)
        self.p99.append(percentile(run.latencies, 99) * 1e3)
        self.per_s.append(run.per_second)
        self.wrong_per_s.append(wrong / seconds)

    def cells(self, name: str) -> list[str]:
        medians = [
            (statistics.median(self.p50), 2),
            (statistics.median(self.p99), 2),
            (statistics.median(self.per_s), 0),
        ]
        return [name, *(number(*one) for one in medians), number(statistics.median(self.wrong_per_s), 0)]


class Refused:
    """A reader for answers that must not come."""

    def feed(self, data: bytes, now: float) -> None:
        raise Fault("a wrong key was served")

    def finish(self) -> None:
        raise Fault("a wrong key was served")


async def flood(base: str, connections: int) -> None:
    """Until the process is ended; a line on stdout for every 100 refusals."""
    body, answered = chat_body(MODEL, 8, stream=False), 0

    async def one() -> None:
        nonlocal answered
        client = Client(Target(base, ""))
        while True:
            try:
                await client.ask(Target(base, f"sk-portico-{secrets.token_urlsafe(32)}").request(body), Refused())
            except Fault as fault:
                if "status 401" not in str(fault):
                    raise
            answered += 1
            if answered % 100 == 0:
                print(answered, flush=True)

    await asyncio.gather(*(one() for _ in range(connections)))


def refused(log: Path) -> int:
    """How many keys a flood has had refused."""
    lines = log.read_text(encoding="utf-8").split()
    return int(lines[-1]) if lines else 0


def _beside(portico: Running, plan: Plan, folder: Path, side: Side) -> int:
    """One measurement under a flood; the number of wrong keys it had refused."""
    command = ["nice", "-n", "19", sys.executable, "-m", "bench.flood", "--at", portico.base]
    log = folder / "flood.log"
    process = Process([*command, "--connections", str(plan.connections)], log, {"PYTHONPATH": str(ROOT)})
    try:
        deadline = time.monotonic() + 20
        while not refused(log):
            process.check()
            if time.monotonic() > deadline:
                raise StartError("the flood does not begin")
            time.sleep(0.1)
        before = refused(log)
        run = _good(portico, plan)
        process.check()
        side.note(run, refused(log) - before, run.seconds)
        return refused(log)
    finally:
        process.stop()


def _good(portico: Running, plan: Plan) -> UnaryRun:
    body = chat_body(MODEL, 1000, stream=False)
    run = uvloop.run(run_unary(Target(portico.base, KEY), body, plan.clients, plan.seconds))
    if run.errors:
        raise StartError(f"good calls failed: {run.errors.most_common(1)[0][0]}")
    return run


def measure(plan: Plan, folder: Path) -> str:
    """The report. Raises StartError."""
    alone, beside, wrong = Side(), Side(), 0
    with ExitStack() as stack:
        engine = start_engine(folder, 50, 20.0)
        stack.callback(engine.stop)
        uvloop.run(wait_ready(engine))
        (folder / "portico").mkdir()
        portico = start_portico_source(int(engine.base.rpartition(":")[2]), folder / "portico")
        stack.callback(portico.stop)
        uvloop.run(wait_ready(portico))
        _good(portico, plan)  # warm
        memory = cpu.usage(portico.process.pid).resident_mb
        for done in range(1, plan.rounds + 1):
            alone.note(_good(portico, plan), 0, 1)
            wrong += _beside(portico, plan, folder, beside)
            say(f"round {done}/{plan.rounds}: p50 {alone.p50[-1]:.2f} ms alone, {beside.p50[-1]:.2f} beside a flood")
        grown = cpu.usage(portico.process.pid).resident_mb - memory
    heading = ["good calls", "p50 ms", "p99 ms", "calls/s", "wrong keys/s"]
    slower = statistics.median(b / a for a, b in zip(alone.p50, beside.p50, strict=True))
    verdict = "met" if slower <= MOST_SLOWER else "MISSED"
    return "\n".join(
        [
            f"{plan.clients} clients with a good key, in closed loops; the flood: {plan.connections} connections, each "
            f"sending its next key when the last is refused, in a process of its own at `nice 19` (its CPU is not the "
            f"gateway's). Median of {plan.rounds} rounds of {plan.seconds:g} s each way, in turns.",
            "",
            markdown([heading, alone.cells("alone"), beside.cells("beside a flood")]),
            "",
            f"- p50 of a good call, beside a flood / alone: {slower:.2f} (at most {MOST_SLOWER:g}): {verdict}",
            f"- {wrong:,} wrong keys refused in all; memory of the gateway {grown:+.0f} MB meanwhile",
        ]
    )


def _arguments() -> argparse.Namespace:
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description="Wrong keys beside good calls.")
    parser.add_argument("--seconds", type=float, default=plan.seconds, help=f"of each measurement ({plan.seconds:g})")
    parser.add_argument("--rounds", type=int, default=plan.rounds, help=f"({plan.rounds})")
    parser.add_argument("--connections", type=int, default=plan.connections, help=f"of the flood ({plan.connections})")
    parser.add_argument("--write", action="store_true", help=f"keep the table in bench/{RESULTS.name}")
    parser.add_argument("--at", metavar="URL", help="only flood a Portico that runs there")
    return parser.parse_args()


def main() -> int:
    args = _arguments()
    if args.at:
        uvloop.run(flood(args.at, args.connections))
        return 0
    plan = Plan(args.seconds, args.rounds, connections=args.connections)
    where = machine.describe()
    with tempfile.TemporaryDirectory(prefix="portico-flood-") as scratch:
        try:
            text = f"{where}\n\n{measure(plan, Path(scratch))}"
        except StartError as error:
            say(str(error))
            return 1
    print(text)
    if args.write:
        write_section(TITLE, f"Made by `python -m bench.flood --write`.\n\n{text}")
        say(f"written to {RESULTS}")
    return 1 if "MISSED" in text else 0


if __name__ == "__main__":
    sys.exit(main())
