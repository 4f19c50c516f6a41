"""The load generator: a closed loop of clients on uvloop, the same for every target.

    python -m bench.load unary --url http://127.0.0.1:8000 --clients 64 --seconds 5
    python -m bench.load streams --url http://127.0.0.1:8000 --streams 200 --chunks 200

Every answer is checked: its status, its form, its length. What fails is counted by reason, and never timed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import uvloop

from bench.answers import Stream, Whole
from bench.client import Client, Fault, Target

GRACE_S = 60.0
"""How long a run may go on after its time before what is open is cut and counted as an error."""

_PROMPT = (
    "Summarise the following notes for a colleague who was away. Keep names and dates, and say what is still open. "
    "On Monday the team moved the search index to the new machines; two shards had to be rebuilt, which took until "
    "the evening. On Tuesday the load test showed that the p99 had halved. The rollout to the second region waits for "
    "the review of the backup plan, which Ana has and will send by Friday."
)


def chat_body(model: str, max_tokens: int, stream: bool, prompt: str = _PROMPT) -> bytes:
    """A request of about 0.6 kB."""
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a careful assistant."},
            {"role": "user", "content": prompt},
        ],
        "max_tokens": max_tokens,
        "temperature": 0.7,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@dataclass
class UnaryRun:
    """Latencies in seconds, from sending the request to the last byte of its answer."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])
    tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter[str])

    @property
    def requests(self) -> int:
        return len(self.latencies)

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


@dataclass
class StreamRun:
    """Times in seconds: `ttft` from sending to the first chunk with text, `gaps` between two of one stream."""

    seconds: float = 0.0
    streams: int = 0
    chunks: int = 0
    tokens: int = 0
    ttft: list[float] = field(default_factory=list[float])
    gaps: list[float] = field(default_factory=list[float])
    errors: Counter[str] = field(default_factory=Counter[str])


async def run_unary(target: Target, body: bytes, clients: int, seconds: float, tokens: int | None = None) -> UnaryRun:
    """`clients` clients, each sending its next request when the answer is there, for `seconds` (one at least)."""
    run, payload = UnaryRun(), target.request(body)
    begun = time.perf_counter()
    deadline = begun + seconds

    async def one() -> None:
        client = Client(target)
        try:
            while True:
                answer = Whole(tokens)
                try:
                    sent = await client.ask(payload, answer)
                except Fault as fault:
                    run.errors[str(fault)] += 1
                    await asyncio.sleep(0.01)  # a target that is gone must not make this loop spin
                else:
                    run.latencies.append(time.perf_counter() - sent)
                    run.tokens += answer.tokens
                if time.perf_counter() > deadline:
                    return
        finally:
            client.close()

    with _no_gc():
        await _all((one() for _ in range(clients)), seconds + GRACE_S, run.errors)
    run.seconds = time.perf_counter() - begun
    return run


async def run_streams(
    target: Target,
    body: bytes | Callable[[], bytes],
    streams: int,
    *,
    repeat: int = 1,
    chunks: int | None = None,
    limit_s: float = 600.0,
) -> StreamRun:
    """`streams` clients at once, each reading `repeat` streams one after another; all are cut after `limit_s`.

    A `body` that is a function makes a new request for each stream.
    """
    run = StreamRun()
    fixed = target.request(body) if isinstance(body, bytes) else b""
    begun = time.perf_counter()

    async def one() -> None:
        client = Client(target)
        try:
            for _ in range(repeat):
                answer = Stream(chunks)
                payload = fixed if isinstance(body, bytes) else target.request(body())
                try:
                    sent = await client.ask(payload, answer)
                except Fault as fault:
                    run.errors[str(fault)] += 1
                    run.chunks += len(answer.times)
                else:
                    _note(run, answer, sent)
        finally:
            client.close()

    with _no_gc():
        await _all((one() for _ in range(streams)), limit_s, run.errors)
    run.seconds = time.perf_counter() - begun
    return run


def _note(run: StreamRun, answer: Stream, sent: float) -> None:
    run.streams += 1
    run.chunks += len(answer.times)
    run.tokens += answer.tokens
    if answer.times:
        run.ttft.append(answer.times[0] - sent)
    run.gaps += answer.gaps


async def _all(clients: Iterator[Awaitable[None]], limit_s: float, errors: Counter[str]) -> None:
    """Wait for all clients; those still open after `limit_s` are cut, each an error."""
    tasks = [asyncio.ensure_future(client) for client in clients]
    done, late = await asyncio.wait(tasks, timeout=limit_s)
    for task in late:
        task.cancel()
    if late:
        errors["unfinished"] += len(late)
        await asyncio.wait(late)
    for task in done:
        task.result()


@contextmanager
def _no_gc() -> Iterator[None]:
    """The collector's pauses would be read as latency of the target."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def milliseconds(values: list[float]) -> str:
    return f"p50 {percentile(values, 50) * 1e3:.2f} ms, p99 {percentile(values, 99) * 1e3:.2f} ms"


def _print_errors(errors: Counter[str]) -> None:
    for reason, count in errors.most_common():
        print(f"ERROR {count} x {reason}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="The load generator alone.")
    parser.add_argument("kind", choices=["unary", "streams"])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="base URL without /v1")
    parser.add_argument("--key", default="sk-none")
    parser.add_argument("--model", default="gpt-oss-20b")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--chunks", type=int, help="chunks that each stream must have")
    parser.add_argument("--max-tokens", type=int, default=1000)
    args = parser.parse_args()
    target = Target(args.url, args.key)
    body = chat_body(args.model, args.max_tokens, args.kind == "streams")
    if args.kind == "unary":
        unary = uvloop.run(run_unary(target, body, args.clients, args.seconds))
        print(f"{unary.requests} requests, {unary.per_second:.0f}/s, {milliseconds(unary.latencies)}")
        _print_errors(unary.errors)
        return 1 if unary.errors else 0
    run = uvloop.run(run_streams(target, body, args.streams, repeat=args.repeat, chunks=args.chunks))
    print(f"{run.streams} streams, {run.chunks} chunks in {run.seconds:.1f} s, {run.tokens} tokens")
    print(f"TTFT {milliseconds(run.ttft)}; gaps {milliseconds(run.gaps)}")
    _print_errors(run.errors)
    return 1 if run.errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
