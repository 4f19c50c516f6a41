"""What is measured of one gateway in one round, and the median of several rounds."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from bench import cpu
from bench.answers import Whole
from bench.client import Client, Fault, Reader, Target
from bench.load import chat_body, percentile, run_streams, run_unary
from bench.peers import KEY, MODEL, Running
from bench.process import StartError

CLIENTS = 64
LOOK_S = 1.5  # longer than any gateway waits before it goes on with what it put off
IDLE = 0.03  # of a core
MOST_LOOKS = 20
UNARY_TOKENS = 100
_AMPLE = 1000
"""max_tokens of the measured requests: more than the engine has to say, so that its answers end by themselves."""

nan = math.nan


@dataclass(frozen=True)
class Plan:
    """Size of one round: seconds of each unary measurement; streams at once, chunks of each, and time between them."""

    seconds: float = 5.0
    streams: int = 200
    chunks: int = 200
    interval_ms: float = 20.0
    rounds: int = 3


@dataclass
class Figures:
    """One gateway: CPU in microseconds, times in milliseconds, memory in MB. NaN is "not measured"."""

    cpu_us_per_request: float = nan
    requests_per_s: float = nan
    unary_p50_ms: float = nan
    unary_p99_ms: float = nan
    added_p50_ms: float = nan
    added_p99_ms: float = nan
    cpu_us_per_chunk: float = nan
    ttft_p50_ms: float = nan
    ttft_p99_ms: float = nan
    gap_p99_ms: float = nan
    resident_mb: float = nan


@dataclass
class Row:
    """What the table says of one gateway; `failure` is why it has no figures."""

    name: str
    version: str = ""
    rounds: list[Figures] = field(default_factory=list[Figures])
    errors: Counter[str] = field(default_factory=Counter[str])
    failure: str = ""

    @property
    def figures(self) -> Figures:
        """The median of the rounds, figure by figure."""
        return median(self.rounds)


def median(rounds: list[Figures]) -> Figures:
    result = Figures()
    for part in fields(Figures):
        values = [value for one in rounds if not math.isnan(value := getattr(one, part.name))]
        if values:
            setattr(result, part.name, statistics.median(values))
    return result


async def wait_ready(running: Running) -> None:
    """Ask until a real answer comes. Raises StartError."""
    target = Target(running.base, KEY)
    await wait_answer(running, target, chat_body(MODEL, 8, stream=False), lambda: Whole(8))


async def wait_answer(
    running: Running, target: Target, body: bytes, reader: Callable[[], Reader], limit_s: float = 120
) -> None:
    """Ask `body` until `reader` is content with the answer. Raises StartError."""
    last, payload = "no answer", target.request(body)
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        running.process.check()
        client = Client(target)
        try:
            await asyncio.wait_for(client.ask(payload, reader()), 10)
        except (Fault, TimeoutError) as error:
            last = str(error) or "no answer within 10 s"
        else:
            return
        finally:
            client.close()
        await asyncio.sleep(0.1)
    raise StartError(f"not ready after {limit_s:.0f} s: {last}")


async def measure(running: Running, plan: Plan, errors: Counter[str]) -> Figures:
    """One round of one gateway; its errors are added to `errors`."""
    figures, pid = Figures(), running.process.pid
    target = Target(running.base, KEY)
    await _unary(target, pid, plan, figures, errors)
    await _single(target, plan, figures, errors)
    await _streams(target, pid, plan, figures, errors)
    figures.resident_mb = cpu.usage(pid).resident_mb
    return figures


async def settled(pid: int) -> float:
    """CPU seconds of a gateway's processes, once they do nothing more for the load that is over.

    What a gateway puts off, such as usage on its way into a database, is work for those requests too, and must not be
    taken for the next ones'.
    """
    used = cpu.usage(pid).cpu_s
    for _ in range(MOST_LOOKS):
        await asyncio.sleep(LOOK_S)
        before, used = used, cpu.usage(pid).cpu_s
        if used - before < LOOK_S * IDLE:
            break
    return used


async def _unary(target: Target, pid: int, plan: Plan, figures: Figures, errors: Counter[str]) -> None:
    body = chat_body(MODEL, _AMPLE, stream=False)
    await run_unary(target, body, CLIENTS, min(1.0, plan.seconds / 4))
    before = await settled(pid)
    run = await run_unary(target, body, CLIENTS, plan.seconds, UNARY_TOKENS)
    used = await settled(pid) - before
    errors.update(run.errors)
    if run.requests:
        figures.cpu_us_per_request = used / run.requests * 1e6
        figures.requests_per_s = run.per_second


async def _single(target: Target, plan: Plan, figures: Figures, errors: Counter[str]) -> None:
    run = await run_unary(target, chat_body(MODEL, _AMPLE, stream=False), 1, plan.seconds / 2, UNARY_TOKENS)
    errors.update(run.errors)
    figures.unary_p50_ms = percentile(run.latencies, 50) * 1e3
    figures.unary_p99_ms = percentile(run.latencies, 99) * 1e3


async def _streams(target: Target, pid: int, plan: Plan, figures: Figures, errors: Counter[str]) -> None:
    # A short stream for each client first: the connections to the engine are open then, as they are in service.
    await run_streams(target, chat_body(MODEL, 2, stream=True), plan.streams)
    before = await settled(pid)
    run = await run_streams(target, chat_body(MODEL, _AMPLE, stream=True), plan.streams, chunks=plan.chunks)
    used = await settled(pid) - before
    errors.update(run.errors)
    if run.chunks:
        figures.cpu_us_per_chunk = used / run.chunks * 1e6
    figures.ttft_p50_ms = percentile(run.ttft, 50) * 1e3
    figures.ttft_p99_ms = percentile(run.ttft, 99) * 1e3
    figures.gap_p99_ms = percentile(run.gaps, 99) * 1e3


def add_latency(row: Row, direct: Row) -> None:
    """Fill in what the gateway adds to the engine's own latency, round by round."""
    for mine, engine in zip(row.rounds, direct.rounds, strict=False):
        mine.added_p50_ms = mine.unary_p50_ms - engine.unary_p50_ms
        mine.added_p99_ms = mine.unary_p99_ms - engine.unary_p99_ms


@dataclass(frozen=True)
class Bar:
    """A figure that has to stay under a limit, where both gateways were measured."""

    what: str
    value: float
    limit: float
    unit: str

    @property
    def verdict(self) -> str:
        if math.isnan(self.value):
            return "not measured"
        return "met" if self.value <= self.limit else "MISSED"


def bars(rows: dict[str, Row]) -> list[Bar]:
    """The bar that Portico is held to, from one run."""
    figures: dict[str, Any] = {name: row.figures for name, row in rows.items()}
    empty = Figures()
    names = ("portico", "portico-limits", "sglang-router", "vllm-router")
    portico, limits, sglang, vllm = (figures.get(name, empty) for name in names)
    unary, limited = portico.cpu_us_per_request, limits.cpu_us_per_request
    return [
        Bar("unary CPU, portico / sglang-router", unary / sglang.cpu_us_per_request, 1.0, "x"),
        Bar("unary CPU, portico / vllm-router", unary / vllm.cpu_us_per_request, 1.0, "x (moonshot)"),
        Bar("CPU per chunk, portico / vllm-router", portico.cpu_us_per_chunk / vllm.cpu_us_per_chunk, 1.3, "x"),
        Bar("unary CPU, portico-limits / sglang-router", limited / sglang.cpu_us_per_request, 1.0, "x"),
        Bar("CPU per chunk, portico-limits / vllm-router", limits.cpu_us_per_chunk / vllm.cpu_us_per_chunk, 1.3, "x"),
        Bar("added latency at one client, p50", portico.added_p50_ms, 0.25, "ms"),
        Bar("added latency at one client, p99", portico.added_p99_ms, 1.0, "ms"),
        Bar("TTFT p50, portico / sglang-router", portico.ttft_p50_ms / sglang.ttft_p50_ms, 1.0, "x"),
        Bar("TTFT p50, portico / vllm-router", portico.ttft_p50_ms / vllm.ttft_p50_ms, 1.0, "x"),
    ]
