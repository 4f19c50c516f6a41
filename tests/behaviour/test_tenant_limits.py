"""Limits of keys, projects and models over the whole app: charged before dispatch, settled after, told in headers."""

from __future__ import annotations

import asyncio

import openai
import pytest

from server.config import Limit
from server.stores.base import StoreDown
from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, Gate, eventually, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.wire import Reply

BODY = {"model": MODEL, "messages": MESSAGES, "max_tokens": 100}
"""A prompt of some 70 tokens with what the format adds; the double answers with the usage 10 + 20."""


async def ask(gate: Gate, secret: str | None = None, **more: object) -> Reply:
    return await gate.request("POST", CHAT, BODY | more, secret or KEY)


async def test_requests_per_minute() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(requests_per_minute=3)
        replies = [await ask(gate, secret) for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["2", "1", "0", "0"]
        assert {reply.headers["x-ratelimit-limit-requests"] for reply in replies} == {"3"}
        refused = replies[3]
        assert refused.error["code"] == "rate_limit_exceeded"
        assert refused.error["type"] == "requests"
        assert "requests per minute of this key" in refused.error["message"]
        assert 0 < int(refused.headers["retry-after"]) <= 61
        assert len(engine.calls) == 3
        assert gate.metric("portico_limited_total", limit="requests_per_minute") == 1
        line = gate.log_lines()[-1]
        assert (line["status"], line["outcome"], line["key"]) == (429, "limited", "k")


async def test_tokens_are_correct_to_the_token_after_the_call() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(tokens_per_minute=1000)
        first, second = await ask(gate, secret), await ask(gate, secret)
        used = first.json["usage"]["total_tokens"]
        assert first.headers["x-ratelimit-limit-tokens"] == "1000"
        assert int(first.headers["x-ratelimit-remaining-tokens"]) == 1000 - used
        assert int(second.headers["x-ratelimit-remaining-tokens"]) == 1000 - 2 * used


async def test_tokens_are_charged_before_the_call() -> None:
    """While a call is open its whole grant is taken: none beside it gets more than is left."""
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(tokens_per_minute=700)
        engine.plan(answer(delay_s=0.3))
        one = asyncio.create_task(ask(gate, secret, max_tokens=400))
        await eventually(lambda: engine.calls)
        refused = await ask(gate, secret, max_tokens=400)
        assert (refused.status, refused.error["code"], refused.error["type"]) == (429, "rate_limit_exceeded", "tokens")
        assert (await one).status == 200
        assert (await ask(gate, secret, max_tokens=400)).status == 200, "what it did not use is back"


async def test_what_can_never_fit_is_told_so() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(tokens_per_minute=300)
        refused = await ask(gate, secret, max_tokens=2000)
        assert refused.status == 429
        assert "too large" in refused.error["message"]
        assert refused.headers["x-should-retry"] == "false"
        assert "retry-after" not in refused.headers
        assert engine.calls == []


async def test_an_answer_that_is_not_bounded_is_granted_what_fits() -> None:
    async with EngineDouble() as engine, portico(engine, limits={"answer_tokens": 50}) as gate:
        secret = await Tenants(gate).limited(tokens_per_minute=1000)
        body = {"model": MODEL, "messages": MESSAGES}
        assert (await gate.request("POST", CHAT, body, secret)).status == 200
        assert engine.calls[0].json["max_tokens"] == 50
        assert (await gate.request("POST", CHAT, body)).status == 200
        assert "max_tokens" not in engine.calls[1].json, "no limit, no grant"


async def test_concurrent_requests_to_the_last_byte() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(concurrent_requests=1)
        engine.plan(hang(after=3))
        async with gate.opened(stream=True, key=secret) as wire:
            await wire.head()
            refused = await ask(gate, secret)
            assert refused.status == 429
            assert "concurrent requests of this key" in refused.error["message"]
        await eventually(lambda: not gate.parts.gateway.trips)
        assert (await ask(gate, secret)).status == 200


async def test_the_tightest_limit_of_key_project_and_model() -> None:
    async with EngineDouble() as engine:
        model = {"limits": {"requests_per_minute": 5}}
        async with portico(engine, model=model) as gate:
            tenants = Tenants(gate)
            project = await tenants.project(
                limits=Limit(requests_per_minute=3), model_limits={MODEL: Limit(requests_per_minute=2)}
            )
            one, _ = await tenants.key(project)
            two, _ = await tenants.key(project)
            assert [(await ask(gate, secret)).status for secret in (one, two)] == [200, 200]
            refused = await ask(gate, one)
            assert f"this project with model {MODEL}" in refused.error["message"]
            assert [(await ask(gate)).status for _ in range(3)] == [200, 200, 200]
            refused = await ask(gate)
            assert f"model {MODEL}" in refused.error["message"]


async def test_spend_of_a_month() -> None:
    async with EngineDouble() as engine, portico(engine, model={"price": {"input": 1000, "output": 1000}}) as gate:
        secret = await Tenants(gate).limited(spend_per_month=0.4)
        first = await ask(gate, secret)
        assert first.status == 200
        refused = await ask(gate, secret, max_tokens=1000)
        assert (refused.status, refused.error["code"], refused.error["type"]) == (
            429, "insufficient_quota", "insufficient_quota",
        )  # fmt: skip
        assert "0.4" in refused.error["message"]
        assert refused.headers["x-should-retry"] == "false"


async def test_days_and_months_outlive_a_restart(tmp_path: object) -> None:
    async with EngineDouble() as engine:
        stores = {"durable": f"sqlite:///{tmp_path}/kept.db", "spool": f"{tmp_path}/spool"}
        async with portico(engine, stores=stores) as gate:
            secret = await Tenants(gate).limited(requests_per_day=3)
            gate.parts.engines["one"].up = False
            assert [(await ask(gate, secret)).status for _ in range(2)] == [503, 503], "which do not count"
            gate.parts.engines["one"].up = True
            assert [(await ask(gate, secret)).status for _ in range(2)] == [200, 200]
        async with portico(engine, stores=stores) as gate:
            assert [(await ask(gate, secret)).status for _ in range(2)] == [200, 429]


async def test_a_client_that_leaves_is_settled() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(tokens_per_minute=1000)
        engine.plan(hang(after=3))
        async with gate.opened(stream=True, key=secret, max_tokens=900) as wire:
            await wire.head()
        await eventually(lambda: not gate.parts.gateway.trips)
        reply = await ask(gate, secret, max_tokens=800)
        assert reply.status == 200, "its grant is back but for what it used"


async def test_a_call_that_never_reached_an_engine_uses_nothing() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(requests_per_minute=2, tokens_per_minute=1000)
        gate.parts.engines["one"].up = False
        refused = await ask(gate, secret)
        assert (refused.status, refused.headers["x-ratelimit-remaining-tokens"]) == (503, "1000")
        gate.parts.engines["one"].up = True
        assert (await ask(gate, secret)).headers["x-ratelimit-remaining-requests"] == "1"


async def test_static_keys_have_the_default_limits() -> None:
    limits = {"default": {"requests_per_minute": 1}}
    async with EngineDouble() as engine, portico(engine, limits=limits) as gate:
        assert [(await ask(gate)).status for _ in range(2)] == [200, 429]


async def test_the_sdk_raises_and_retries_as_it_should() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        tenants = Tenants(gate)
        slow = await tenants.limited(concurrent_requests=1)
        tight = await tenants.limited(tokens_per_minute=300)
        async with gate.sdk(api_key=tight, max_retries=3) as client:
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3000)  # type: ignore[arg-type]
            assert gate.metric("portico_limited_total", limit="tokens_per_minute") == 1, "it was told not to try again"
            assert caught.value.code == "rate_limit_exceeded"
        engine.plan(answer(delay_s=0.5))
        async with gate.sdk(api_key=slow, max_retries=3) as client:
            both = await asyncio.gather(
                *(client.chat.completions.create(model=MODEL, messages=MESSAGES) for _ in range(2))  # type: ignore[arg-type]
            )
            assert all(one.choices for one in both), "the second waited as it was told, and got through"


async def test_no_store_no_limited_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(requests_per_minute=2)

        def down(*_: object) -> None:
            raise StoreDown("gone")

        monkeypatch.setattr(gate.parts.gateway.limiter.store, "take", down)
        refused = await ask(gate, secret)
        assert (refused.status, refused.error["code"]) == (503, "store_unavailable")
        assert (await ask(gate)).status == 200, "what nothing limits goes on"
