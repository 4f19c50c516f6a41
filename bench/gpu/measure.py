"""One engine directly and through Portico, at so many streams: the figures of each side, pooled over the rounds."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from bench import cpu
from bench.client import Target
from bench.load import StreamRun, chat_body, percentile, run_streams

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_TOPICS = ("the tide", "a lighthouse", "bread", "the first railway", "glass", "a long winter", "maps", "the violin")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Plan:
    """`streams`: how many at once, one measurement each; `max_tokens` of each stream; `rounds` of each side."""

    streams: tuple[int, ...] = (1, 64, 256, 512)
    max_tokens: int = 256
    rounds: int = 3
    path: str = CHAT

    def repeat(self, streams: int) -> int:
        """Streams that each client reads one after another: few clients read more, for steadier figures."""
        return max(2, 8 // streams)


@dataclass
class Side:
    """What was seen at one number of streams on one way to the engine; times in seconds.

    `gateway_cpu_s` is None on the direct way.
    """

    name: str
    streams: int
    gateway_cpu_s: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    chunks: int = 0
    ttft: list[float] = field(default_factory=list[float])
    gaps: list[float] = field(default_factory=list[float])
    errors: Counter[str] = field(default_factory=Counter[str])

    def add(self, run: StreamRun, cpu_s: float | None) -> None:
        self.seconds += run.seconds
        self.tokens += run.tokens
        self.chunks += run.chunks
        self.ttft += run.ttft
        self.gaps += run.gaps
        self.errors.update(run.errors)
        if cpu_s is not None:
            self.gateway_cpu_s = (self.gateway_cpu_s or 0.0) + cpu_s

    @property
    def tokens_per_s(self) -> float:
        return _ratio(self.tokens, self.seconds)

    @property
    def tokens_per_chunk(self) -> float:
        return _ratio(self.tokens, self.chunks)

    @property
    def cpu_us_per_chunk(self) -> float:
        return float("nan") if self.gateway_cpu_s is None else _ratio(self.gateway_cpu_s, self.chunks) * 1e6

    @property
    def core_percent(self) -> float:
        """The gateway's share of one core."""
        return float("nan") if self.gateway_cpu_s is None else _ratio(self.gateway_cpu_s, self.seconds) * 100

    def milliseconds(self, values: list[float], percent: float) -> float:
        return percentile(values, percent) * 1e3


def _ratio(amount: float, by: float) -> float:
    return amount / by if by else float("nan")


@dataclass(frozen=True)
class Way:
    """A way to the engine; `pid` leads the gateway's process tree, None on the direct way."""

    name: str
    target: Target
    pid: int | None = None


def request_body(path: str, model: str, max_tokens: int) -> bytes:
    """A streamed request that no other shares a prefix with, so that the engine's cache favours no side."""
    number = next(_numbers)
    topic = _TOPICS[number % len(_TOPICS)]
    prompt = (
        f"{number:06d}. Write a very long story about {topic}, in many chapters, with every detail you can think of."
    )
    if path == CHAT:
        return chat_body(model, max_tokens, stream=True, prompt=prompt)
    body = {"model": model, "prompt": prompt, "max_tokens": max_tokens, "stream": True}
    return msgspec.json.encode({**body, "stream_options": {"include_usage": True}})


async def measure(
    ways: tuple[Way, ...], streams: int, model: str, plan: Plan, say: Callable[[str], None] = lambda _: None
) -> list[Side]:
    """All ways in turn, `plan.rounds` times.

    A round that does not count comes first: it opens the connections, and an engine is slow with its first batches of
    a size.
    """
    sides = [Side(way.name, streams) for way in ways]
    for way in ways:
        await run_streams(way.target, lambda: request_body(plan.path, model, plan.max_tokens), streams)
    for number in range(plan.rounds):
        for way, side in zip(ways, sides, strict=True):
            before = cpu.usage(way.pid).cpu_s if way.pid else 0.0
            run = await run_streams(
                way.target,
                lambda: request_body(plan.path, model, plan.max_tokens),
                streams,
                repeat=plan.repeat(streams),
            )
            side.add(run, cpu.usage(way.pid).cpu_s - before if way.pid else None)
            lost = f", {run.errors.total()} errors" if run.errors else ""
            per_second = _ratio(run.tokens, run.seconds)
            say(f"{streams} streams, round {number + 1}/{plan.rounds}, {way.name}: {per_second:,.0f} tokens/s{lost}")
    return sides
