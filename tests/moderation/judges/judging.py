"""A judge before a real HTTP server on a loopback port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server.breaker import Breaker
from server.config import Engine, Timeouts
from server.engines.ask import EngineAsk
from server.moderation.judges.adapter import Adapter
from server.moderation.judges.cache import VerdictCache
from server.moderation.judges.judge import Bounds, Judge
from server.moderation.judges.safeguard import Safeguard
from server.moderation.judges.windows import Windows
from server.watchdog import Watchdog
from tests.behaviour.engine_double import EngineDouble, Exchange, Script
from tests.moderation.judges.answers import chat

SECRET = b"0123456789abcdef"
SAFE, HATE = '{"violation": 0, "policy_category": null}', '{"violation": 1, "policy_category": "hate"}'
SMALL = Safeguard("judge", "No hate.", ("hate",), windows=Windows(chars=10, overlap=2, most=3))
PLAIN = Safeguard("judge", "No hate.", ("hate",))
FAILURES, PAUSE_S = 3, 60.0
SOON, PATIENT = Bounds(timeout_s=0.3), Bounds(timeout_s=20)


@dataclass
class Bench:
    engine: EngineDouble
    ask: EngineAsk
    judge: Judge
    now: float = 0.0  # what the judge takes for the time


@asynccontextmanager
async def bench(
    adapter: Adapter = PLAIN, bounds: Bounds = PATIENT, max_answer: int = 64 * 1024
) -> AsyncIterator[Bench]:
    async with EngineDouble() as engine:
        settings = Engine(url=engine.url, timeouts=Timeouts(connect_s=20))
        ask = EngineAsk(settings, engine.url, "a key", Watchdog(), max_answer)
        judge = Judge("test", adapter, ask, VerdictCache(SECRET), Breaker(FAILURES, PAUSE_S), bounds, lambda: one.now)
        one = Bench(engine, ask, judge)
        try:
            yield one
        finally:
            await judge.close()
            ask.close()


def says(content: str = SAFE) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.whole(200, chat(content))

    return script


def judged_text(exchange: Exchange) -> str:
    """What the judge was shown between the two lines."""
    return "\n".join(json.loads(exchange.call.body)["messages"][-1]["content"].split("\n")[1:-1])


async def until(at: Bench, calls: int) -> None:
    """So many calls have reached the engine."""
    while len(at.engine.calls) < calls:  # noqa: ASYNC110  # the double has no event for it
        await asyncio.sleep(0.001)
