"""Every outcome is counted once, and what is open is seen as open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, breaks, error, hang
from tests.behaviour.serving import CHAT, MODEL, portico
from tests.behaviour.vllm import Reply

CHATS = {"model": MODEL, "endpoint": "chat.completions"}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_good_call(stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(answer(Reply(["a", "b", "c"], reasoning="hm hm", cached=100), delay_s=0.02))
        assert (await gate.chat(stream=stream)).status == 200
        ok = CHATS | {"outcome": "ok"}
        assert gate.metric("portico_requests_total", **ok) == 1
        assert gate.metric("portico_request_duration_seconds_count", **ok) == 1
        assert 0.02 < gate.metric("portico_request_duration_seconds_sum", **ok) < 1
        assert gate.metric("portico_time_to_first_token_seconds_count", model=MODEL) == stream
        assert gate.metric("portico_inter_token_latency_seconds_count", model=MODEL) == (4 if stream else 0)
        if stream:
            assert 0.06 < gate.metric("portico_inter_token_latency_seconds_sum", model=MODEL) < 0.5
        for kind, count in {"prompt": 120, "completion": 5, "cached": 100, "reasoning": 2}.items():
            assert gate.metric("portico_tokens_total", model=MODEL, kind=kind) == count
        assert gate.metric("portico_gateway_overhead_seconds_count", endpoint="chat.completions") == 1
        assert 0 < gate.metric("portico_gateway_overhead_seconds_sum", endpoint="chat.completions") < 0.02
        assert gate.metric("portico_in_flight_requests", model=MODEL) == 0
        assert gate.metric("portico_engine_up", engine="one") == 1


async def test_every_outcome() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:

        async def asked(outcome: str, model: str = MODEL) -> None:
            labels = {"model": model, "endpoint": "chat.completions", "outcome": outcome}
            assert gate.metric("portico_requests_total", **labels) == 1, outcome
            assert gate.metric("portico_request_duration_seconds_count", **labels) == 1
            assert gate.total("portico_in_flight_requests") == 0

        await gate.chat(n=99)
        await asked("invalid", "")
        await gate.request("POST", CHAT, {}, None)
        await asked("unauthorized", "")
        for outcome, script in (("engine_error", error(500)), ("engine_overloaded", error(429))):
            engine.plan(script)
            await gate.chat()
            await asked(outcome)
        engine.plan(error(400, "bad"))
        await gate.chat()
        await asked("invalid")
        await gate.complete()
        assert gate.metric("portico_requests_total", model=MODEL, endpoint="completions", outcome="ok") == 1
        assert gate.total("portico_requests_total") == 6


async def test_open_calls() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = hang(2)
        async with gate.opened(stream=True) as one, gate.opened(stream=True) as two:
            await asyncio.gather(one.head(), two.head())
            assert gate.metric("portico_in_flight_requests", model=MODEL) == 2


async def test_names_of_the_contract() -> None:
    names: dict[str, Any] = {
        "portico_requests_total": {"model", "endpoint", "outcome"},
        "portico_request_duration_seconds_count": {"model", "endpoint", "outcome"},
        "portico_time_to_first_token_seconds_count": {"model"},
        "portico_inter_token_latency_seconds_count": {"model"},
        "portico_gateway_overhead_seconds_count": {"endpoint"},
        "portico_queue_wait_seconds_count": {"class"},
        "portico_tokens_total": {"model", "kind"},
        "portico_in_flight_requests": {"model"},
        "portico_engine_up": {"engine"},
    }
    async with EngineDouble() as engine, portico(engine) as gate:
        await gate.chat(stream=True)
        gate.parts.metrics.flush()
        samples = [sample for family in gate._registry.collect() for sample in family.samples]
        for name, labels in names.items():
            found = [sample for sample in samples if sample.name == name]
            assert found, name
            assert all(set(sample.labels) == labels for sample in found), name


async def test_unknown_models_make_no_series() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for number in range(50):
            await gate.chat(model=f"model-{number}")
        assert "model-1" not in gate.exposition()


async def test_a_call_cut_by_the_engine() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(breaks(4))
        await gate.chat(stream=True)
        assert gate.metric("portico_time_to_first_token_seconds_count", model=MODEL) == 1
        assert gate.metric("portico_requests_total", **CHATS, outcome="engine_error") == 1
