"""Load of several tenants at once, each with requests of its own shape, and what each was given."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.answers import Stream
from bench.client import Client, Fault, Target
from bench.load import chat_body

PROMPT_COST, COMPLETION_COST = 1, 2  # as in server/admission/fair_queue.py
BYTES_PER_TOKEN = 4
_TEXT = "the index moved to new machines and two shards had to be rebuilt before the evening report came in"
_WORDS = _TEXT.split()


@dataclass(frozen=True)
class Tenant:
    """`clients` send streams of about `prompt` tokens and at most `answer` (from, to), one after another.

    Between two of them a client waits for `pause_s`, half to one and a half of it.
    """

    name: str
    key: str
    clients: int
    prompt: int
    answer: tuple[int, int]
    pause_s: float = 0.0

    def body(self, model: str, rng: random.Random) -> bytes:
        """A request like no other, so that no prefix cache helps."""
        words = [f"Note {rng.randrange(10**9)}."]
        words += [rng.choice(_WORDS) for _ in range(self.prompt * BYTES_PER_TOKEN // 5)]
        return chat_body(model, rng.randint(*self.answer), stream=True, prompt=" ".join(words))


@dataclass
class Seen:
    """One stream: when it was sent, and its answer as far as it came."""

    tenant: str
    sent: float
    answer: Stream


@dataclass
class Load:
    """What was seen between `begin` and `end` (perf_counter seconds)."""

    begin: float = 0.0
    end: float = 0.0
    seen: list[Seen] = field(default_factory=list[Seen])
    errors: Counter[str] = field(default_factory=Counter[str])

    def first_tokens(self, tenant: str) -> list[float]:
        """Seconds to the first token of the streams that were sent within the time.

        One that waited in vain, for longer than all others, counts with the time that it had.
        """
        mine = [one for one in self.seen if one.tenant == tenant and self.begin <= one.sent < self.end]
        waits = [one.answer.times[0] - one.sent for one in mine if one.answer.times]
        longest = max(waits, default=0.0)
        vain = [self.end - one.sent for one in mine if not one.answer.times]
        return waits + [wait for wait in vain if wait > longest]

    def service(self) -> dict[str, float]:
        """Weighted tokens by tenant: a prompt counts when its answer begins, an answer chunk by chunk.

        A stream that was cut when the time was over tells no usage: its prompt is taken as long as its tenant's others.
        """
        prompts: dict[str, list[int]] = {}
        for one in self.seen:
            if one.answer.prompt_tokens:
                prompts.setdefault(one.tenant, []).append(one.answer.prompt_tokens)
        mean = {tenant: statistics.fmean(known) for tenant, known in prompts.items()}
        given = dict.fromkeys((one.tenant for one in self.seen), 0.0)
        for one in self.seen:
            times = one.answer.times
            if not times:
                continue
            inside = sum(self.begin <= at < self.end for at in times)
            per_chunk = one.answer.tokens / len(times) if one.answer.tokens else 1.0
            given[one.tenant] += COMPLETION_COST * per_chunk * inside
            if self.begin <= times[0] < self.end:
                given[one.tenant] += PROMPT_COST * (one.answer.prompt_tokens or mean.get(one.tenant, 0.0))
        return given

    def per_second(self) -> float:
        """Tokens of answers of all tenants per second: what the engine made, whoever it was for."""
        made = sum(self.begin <= at < self.end for one in self.seen for at in one.answer.times)
        counted = [one.answer for one in self.seen if one.answer.tokens]
        per_chunk = sum(one.tokens for one in counted) / (sum(len(one.times) for one in counted) or 1)
        return made * (per_chunk or 1.0) / (self.end - self.begin)


async def run(base: str, model: str, tenants: Sequence[Tenant], warm_s: float, seconds: float) -> Load:
    """All tenants at once, for `warm_s` that do not count and `seconds` that do; then all is cut."""
    load, rng = Load(), random.Random(7)
    load.begin = time.perf_counter() + warm_s
    load.end = load.begin + seconds

    async def client(tenant: Tenant, number: int) -> None:
        target = Target(base, tenant.key)
        wire = Client(target)
        try:
            await asyncio.sleep(warm_s / 2 * number / tenant.clients)  # they do not all come at one moment
            while True:
                seen = Seen(tenant.name, time.perf_counter(), Stream())
                load.seen.append(seen)
                try:
                    seen.sent = await wire.ask(target.request(tenant.body(model, rng)), seen.answer)
                except Fault as fault:
                    load.errors[str(fault)] += 1
                    await asyncio.sleep(0.1)
                if tenant.pause_s:
                    await asyncio.sleep(tenant.pause_s * rng.uniform(0.5, 1.5))
        finally:
            wire.close()

    tasks = [asyncio.create_task(client(tenant, number)) for tenant in tenants for number in range(tenant.clients)]
    await asyncio.sleep(warm_s + seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return load
