"""Where Portico's time goes: py-spy samples it under load, and its hottest functions are printed.

    python -m bench.profile unary [--seconds 8] [--clients 64]
    python -m bench.profile streams [--streams 200] [--folded FILE] [--native]

"own" is time on top of the stack, "with callees" time anywhere on it, both in percent of all samples but those of
threads that wait. `--folded` keeps the stacks for a flame graph. Needs the right to trace processes (root, or
kernel.yama.ptrace_scope 0).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop

from bench.client import Target
from bench.environments import environment, say
from bench.load import chat_body, run_streams, run_unary
from bench.measure import wait_ready
from bench.peers import KEY, MODEL, Running, start_engine, start_portico_source
from bench.process import Process, StartError

RATE = 500
"""Samples per second."""

WAITING = ("ThreadedChildWatcher._do_waitpid", "EpollSelector.select", "_PollLikeSelector.select", "Condition.wait")
"""On top of the stack of a thread that waits; py-spy takes some of these for work."""


def own_and_total(folded: str) -> tuple[Counter[str], Counter[str], int]:
    """Samples by function on top of the stack, by function anywhere on it, and in all, from py-spy's raw form."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame for frame in stack.split(";") if not frame.startswith("process ")]
        if not frames or not count.isdigit() or frames[-1].startswith(WAITING):
            continue
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    return own, total, own.total()


def report(folded: str, lines: int) -> str:
    own, total, samples = own_and_total(folded)
    out = [f"{samples} samples at {RATE}/s"]
    for title, counts in (("own", own), ("with callees", total)):
        out.append(f"\n{title}:")
        out += [f"{count / max(1, samples):7.1%}  {name}" for name, count in counts.most_common(lines)]
    return "\n".join(out)


async def _load(kind: str, base: str, args: argparse.Namespace) -> None:
    target, body = Target(base, KEY), chat_body(MODEL, 1000, stream=kind == "streams")
    if kind == "unary":
        await run_unary(target, body, args.clients, args.seconds)
        return
    deadline = time.monotonic() + args.seconds
    while time.monotonic() < deadline:
        await run_streams(target, body, args.streams)


def _profile(args: argparse.Namespace, folder: Path) -> str:
    py_spy = environment("py-spy") / "bin/py-spy"
    engine = start_engine(folder, 200, 20.0)
    portico: Running | None = None
    try:
        uvloop.run(wait_ready(engine))
        portico = start_portico_source(int(engine.base.rpartition(":")[2]), folder)
        uvloop.run(wait_ready(portico))
        folded = folder / "folded"
        command = [py_spy, "record", "--subprocesses", "--function", "--format=raw", f"--output={folded}"]
        command += [f"--pid={portico.process.pid}", f"--rate={RATE}", f"--duration={int(args.seconds)}"]
        spy = Process(command + (["--native"] if args.native else []), folder / "py-spy.log")
        uvloop.run(_load(args.kind, portico.base, args))
        deadline = time.monotonic() + 20
        while not folded.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        if not folded.exists():
            raise StartError(f"py-spy recorded nothing: {spy.last_words()}")
        spy.stop()
        return folded.read_text(encoding="utf-8")
    finally:
        if portico:
            portico.process.stop()
        engine.process.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="Portico's hottest functions.")
    parser.add_argument("kind", choices=["unary", "streams"])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--lines", type=int, default=30)
    parser.add_argument("--native", action="store_true", help="show frames of C code too")
    parser.add_argument("--folded", type=Path, help="keep the folded stacks here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portico-profile-") as scratch:
        try:
            folded = _profile(args, Path(scratch))
        except StartError as error:
            say(f"cannot profile: {error}")
            return 1
    if args.folded:
        args.folded.write_text(folded, encoding="utf-8")
    print(report(folded, args.lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
