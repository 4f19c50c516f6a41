"""`python -m bench`: Portico beside its peers, one load generator, one table.

Starts the simulated engine and each gateway on loopback, measures them in turn for several rounds (so that a busy
moment of the machine hits all alike), prints the medians. CPU is user and system time of the gateway's whole process
tree, per request or per chunk with text: the figure to trust, since wall-clock drifts on a shared machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import uvloop

from bench import machine, table
from bench.environments import say
from bench.measure import Plan, Row, add_latency, bars, measure, wait_ready
from bench.peers import GATEWAYS, Running, start_engine
from bench.process import StartError
from bench.results import RESULTS, write_section

QUICK = Plan(seconds=1.0, streams=50, chunks=50, rounds=1)


def run(plan: Plan, names: list[str], folder: Path) -> list[Row]:
    """Measure the engine alone and the named gateways."""
    rows = {name: Row(name) for name in ("direct", *names)}
    with ExitStack() as stack:
        engine = start_engine(folder, plan.chunks, plan.interval_ms)
        stack.callback(engine.stop)
        uvloop.run(wait_ready(engine))
        running = {"direct": engine}
        for name in names:
            started = _start(name, rows[name], int(engine.base.rpartition(":")[2]), folder, stack)
            if started:
                running[name] = started
        for number in range(plan.rounds):
            _round(number, plan, running, rows)
    for name in names:
        add_latency(rows[name], rows["direct"])
    return list(rows.values())


def _start(name: str, row: Row, engine_port: int, folder: Path, stack: ExitStack) -> Running | None:
    """Start one gateway and wait for its first answer; what went wrong is kept in its row."""
    scratch = folder / name
    scratch.mkdir()
    try:
        running = GATEWAYS[name](engine_port, scratch)
        stack.callback(running.stop)
        uvloop.run(wait_ready(running))
    except StartError as error:
        row.failure = str(error)
        say(f"{name}: {error}")
        return None
    row.version = running.version
    say(f"{name} {running.version}: ready at {running.base}")
    return running


def _round(number: int, plan: Plan, running: dict[str, Running], rows: dict[str, Row]) -> None:
    """Measure each once. The order turns from round to round, but for the engine alone, which is first."""
    first, *others = running
    turn = number % max(1, len(others))
    for name in (first, *others[turn:], *others[:turn]):
        row = rows[name]
        try:
            running[name].process.check()
        except StartError as error:
            row.failure = str(error)
            continue
        row.rounds.append(uvloop.run(measure(running[name], plan, row.errors)))
        last = row.rounds[-1]
        say(
            f"round {number + 1}/{plan.rounds} {name}: {last.cpu_us_per_request:.1f} µs/request, "
            f"{last.requests_per_s:.0f} requests/s, {last.cpu_us_per_chunk:.1f} µs/chunk"
            + (f", {row.errors.total()} errors" if row.errors else "")
        )


def _arguments() -> argparse.Namespace:
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Portico beside its peers.")
    parser.add_argument("--only", help=f"some of {','.join(GATEWAYS)}, separated by commas")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that all works, not how fast")
    parser.add_argument("--seconds", type=float, help=f"of each unary measurement ({default.seconds:g})")
    parser.add_argument("--streams", type=int, help=f"at once ({default.streams})")
    parser.add_argument("--chunks", type=int, help=f"of each stream ({default.chunks})")
    parser.add_argument("--rounds", type=int, help=f"of which the median is taken ({default.rounds})")
    parser.add_argument("--write", action="store_true", help=f"keep the table in bench/{RESULTS.name}")
    args = parser.parse_args()
    args.names = args.only.split(",") if args.only else list(GATEWAYS)
    unknown = [name for name in args.names if name not in GATEWAYS]
    if unknown:
        parser.error(f"no gateway is called {', '.join(unknown)}; there are {', '.join(GATEWAYS)}")
    return args


def main() -> int:
    args = _arguments()
    given = {k: getattr(args, k) for k in ("seconds", "streams", "chunks", "rounds") if getattr(args, k) is not None}
    plan = replace(QUICK if args.quick else Plan(), **given)
    where = machine.describe()
    if machine.busy():
        say("This machine is busy: the figures will be too high for all; compare only within this run.")
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as scratch:
        rows = run(plan, args.names, Path(scratch))
    text = (
        f"{where}\n\nUnary: 64 clients for {plan.seconds:g} s (CPU, req/s), then one client (p50, p99; added: less the "
        f"engine alone). Streams: {plan.streams} at once x {plan.chunks} chunks x {plan.interval_ms:g} ms. "
        f"Median of {plan.rounds} rounds.\n\n" + table.report(rows, bars({row.name: row for row in rows}))
    )
    print(text)
    if args.write:
        write_section("Portico and its peers", f"Made by `python -m bench --write`.\n\n{text}")
        say(f"written to {RESULTS}")
    return 1 if any(row.failure or row.errors for row in rows if row.name in ("direct", "portico")) else 0


if __name__ == "__main__":
    sys.exit(main())
