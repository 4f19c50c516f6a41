"""A judge over the real vLLM: that it takes our question, holds to the schema, and stops when nobody waits any more.

The demo model is no safeguard. It has learnt to judge bare texts; between our lines it takes most for safe, and after a
key it may write spaces, which the schema allows, until its time is up. So what it decides is printed and not asserted.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter

import httpx2
import pytest

from server.breaker import Breaker
from server.config import Engine as Settings
from server.engines.ask import EngineAsk
from server.moderation.judges.cache import VerdictCache
from server.moderation.judges.judge import Bounds, Judge
from server.moderation.judges.safeguard import Safeguard
from server.moderation.judges.verdicts import Failure, JudgeFailed, Verdict
from server.watchdog import Watchdog
from tests.live.conftest import MODEL
from tests.live.service import Engine, wait_for
from tools.demo_model.cases import BAD, GOOD, POLICY

CATEGORIES = ("violence", "illicit", "self-harm", "hate", "harassment", "sexual")


def judge_of(engine: Engine, timeout_s: float, model: str = MODEL) -> tuple[Judge, EngineAsk]:
    url = f"{engine.root}/v1"
    ask = EngineAsk(Settings(url=url), url, engine.key or None, Watchdog())
    cache = VerdictCache(secrets.token_bytes(16))
    adapter = Safeguard(model, POLICY, CATEGORIES)
    return Judge("live", adapter, ask, cache, Breaker(1000, 1), Bounds(timeout_s, concurrent=8)), ask


async def outcome(judge: Judge, text: str) -> Verdict | Failure:
    try:
        return await judge.ask(text)
    except JudgeFailed as failed:
        return failed.failure


async def test_the_real_engine_answers_by_the_schema(idle_engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    judge, ask = judge_of(idle_engine, timeout_s=10)
    try:
        texts = (*BAD[:4], *GOOD[:4])
        outcomes = await asyncio.gather(*(outcome(judge, text) for text in texts))
    finally:
        await judge.close()
        ask.close()
    failures = Counter(one.value for one in outcomes if isinstance(one, Failure))
    verdicts = [(text, one) for text, one in zip(texts, outcomes, strict=True) if isinstance(one, Verdict)]
    with capsys.disabled():
        right = sum(one.flagged == (text in BAD) for text, one in verdicts)
        print(f"\njudge: {right} of {len(verdicts)} verdicts right, failures: {dict(failures)}")
    assert verdicts
    assert not failures.keys() - {Failure.LATE.value, Failure.MALFORMED.value}
    assert all(set(one.categories) <= set(CATEGORIES) for _, one in verdicts)


async def test_a_model_that_is_not_there_is_a_refusal(engine: Engine) -> None:
    judge, ask = judge_of(engine, timeout_s=20, model="not-there")
    assert await outcome(judge, "text") is Failure.REFUSED
    await judge.close()
    ask.close()


async def test_who_leaves_stops_the_engine(idle_engine: Engine) -> None:
    """A body of our own, as the demo model's verdicts are too short to leave in between."""
    _, ask = judge_of(idle_engine, timeout_s=20)
    body = (
        f'{{"model": "{MODEL}", "prompt": "a", "max_tokens": 4000, "min_tokens": 4000, "ignore_eos": true}}'
    ).encode()
    asking = asyncio.create_task(ask.post("/completions", body, within_s=60))
    await asyncio.to_thread(wait_for, lambda: idle_engine.busy > 0, 10, "the engine works on it")
    asking.cancel()
    await asyncio.wait((asking,))
    await asyncio.to_thread(wait_for, lambda: idle_engine.busy == 0, 10, "the engine stops")
    with pytest.raises(TimeoutError):
        await ask.post("/completions", body, within_s=0.5)
    await asyncio.to_thread(wait_for, lambda: idle_engine.busy == 0, 10, "the engine stops")
    ask.close()


def test_the_engine_has_no_pooling_for_a_chat_model(direct: httpx2.Client) -> None:
    """Where privacy-filter would be asked: the route exists only for models that have it."""
    assert direct.post("/pooling", json={"model": MODEL, "input": [1], "task": "token_classify"}).status_code == 404
