"""Engines that fail: the breaker, tries elsewhere and their budget, fallback models; engines that are drained."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from server.admission.budget import FLOOR
from tests.behaviour.engine_double import EngineDouble, Script, answer, breaks, error, error_event, hang, raw
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, Gate, eventually, portico
from tests.behaviour.tenants import Tenants

FAILURES = 5
FALLBACK = "gpt-oss-120b"
GARBAGE = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nnothing"


def soon(pause_s: float) -> dict[str, Any]:
    """Settings of engines whose breaker lets a call through after so long."""
    return {"breaker": {"failures": FAILURES, "pause_s": pause_s}}


def opens(gate: Gate, name: str) -> float:
    """The state of a breaker as the metric tells it."""
    return gate.metric("portico_breaker_state", engine=name)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (error(500), "status"),
        (error(503), "status"),
        (error(404), "status"),
        (error_event(0, {"error": {"message": "boom", "code": 500}}), "answer"),
        (raw(GARBAGE), "answer"),
        (breaks(), "lost"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_fails_before_its_first_byte_is_tried_elsewhere(stream: bool, script: Script, reason: str) -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        one.always = script
        for _ in range(4):
            assert (await gate.chat(stream=stream)).text() == "Hello there, friend."
        assert one.calls
        assert len(two.calls) == 4
        assert gate.metric("portico_engine_retries_total", engine="one", reason=reason) >= 1
        assert gate.log_lines()[0]["retries"] >= 1


@pytest.mark.parametrize("status", [400, 422])
async def test_a_refusal_of_the_request_is_no_failure(status: int) -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        one.always = two.always = error(status, "bad")
        for _ in range(2 * FAILURES + 2):
            assert (await gate.chat()).status == 400
        assert len(one.calls) + len(two.calls) == 2 * FAILURES + 2
        assert (opens(gate, "one"), opens(gate, "two")) == (0, 0)


async def test_the_breaker_opens_and_one_call_closes_it() -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two, engine=soon(0.3)) as gate:
        two.always = hang(1)
        wires = [gate.opened(stream=True) for _ in range(3)]
        for wire in wires:  # what `two` has to do makes `one` the one that is asked first
            await (await wire.__aenter__()).head()
        two.always = None
        one.always = error(500)
        asked = len(one.calls)
        while not opens(gate, "one"):
            assert (await gate.chat()).status == 200
        assert len(one.calls) >= FAILURES
        assert gate.parts.engines["one"].up, "the probe still finds it well"
        closed = len(one.calls)
        for _ in range(5):
            assert (await gate.chat()).status == 200
        assert len(one.calls) == closed > asked
        await eventually(lambda: opens(gate, "one") == 1)
        one.always = None
        await eventually(lambda: gate.parts.engines["one"].limit == 1 + gate.parts.engines["one"].in_flight)
        assert (await gate.chat()).status == 200
        assert len(one.calls) == closed + 1
        assert opens(gate, "one") == 0
        for wire in wires:
            await wire.__aexit__(None, None, None)


async def test_a_trial_that_fails_keeps_it_open() -> None:
    async with EngineDouble() as one, portico(one, engine=soon(0.2)) as gate:
        one.always = error(500)
        for _ in range(FAILURES):
            await gate.chat()
        engine = gate.parts.engines["one"]
        await eventually(lambda: engine.limit == 1)
        assert (await gate.chat()).status == 502
        assert engine.breaker == "open"


async def test_calls_that_no_engine_survives_do_not_keep_out_all_others() -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        one.always = two.always = error(500)
        for _ in range(4 * FAILURES):
            assert (await gate.chat()).status == 502
        assert (opens(gate, "one"), opens(gate, "two")) == (2, 2)
        one.always = two.always = None
        assert (await gate.chat()).text() == "Hello there, friend."


async def test_tries_end_with_their_budget() -> None:
    """Both engines fail every call: the second is asked again only as long as the budget lasts."""
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        one.always = two.always = error(500)
        calls = 60
        await asyncio.gather(*[gate.chat() for _ in range(calls)])
        tries = len(one.calls) + len(two.calls) - calls
        assert 0 < tries <= FLOOR + calls * 0.1 + 3


async def test_no_try_after_a_timeout() -> None:
    timeouts = {"timeouts": {"first_byte_s": 0.3}}
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two, engine=timeouts) as gate:
        one.always = two.always = hang()
        assert (await gate.chat()).status == 504
        assert len(one.calls) + len(two.calls) == 1


async def test_a_client_that_leaves_says_nothing_of_the_engine() -> None:
    async with EngineDouble() as one, portico(one) as gate:
        one.always = hang()
        for number in range(2 * FAILURES):
            async with gate.opened(stream=True):
                await eventually(lambda number=number: len(one.calls) == number + 1)
        await eventually(lambda: not gate.parts.gateway.trips)
        assert opens(gate, "one") == 0


def with_fallback() -> dict[str, Any]:
    return {
        "models": {
            MODEL: {"engines": ["one"], "context_length": 4096, "fallback": FALLBACK, "aliases": ["gpt-4o-mini"]},
            FALLBACK: {"engines": ["two"], "context_length": 4096},
        }
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_another_model_answers_while_no_engine_can(stream: bool) -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two, **with_fallback()) as gate:
        reply = await gate.chat(stream=stream)
        assert "x-portico-fallback-from" not in reply.headers
        await one.stop()
        assert (await gate.chat()).status == 503, "this call found out; its client tries again"
        for name in (MODEL, "gpt-4o-mini"):
            reply = await gate.chat(stream=stream, model=name)
            assert reply.text() == "Hello there, friend."
            assert reply.headers["x-portico-fallback-from"] == MODEL
            body = reply.events[0] if stream else reply.json
            assert body["model"] == FALLBACK
        assert two.calls[-1].json["model"] == FALLBACK
        assert gate.log_lines()[-1]["model"] == FALLBACK
        assert gate.metric("portico_requests_total", model=FALLBACK, endpoint="chat.completions", outcome="ok") == 2
        await one.start()
        await eventually(lambda: gate.parts.engines["one"].up, 3)
        assert "x-portico-fallback-from" not in (await gate.chat()).headers


async def test_nobody_gets_a_model_that_his_key_may_not_use() -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two, **with_fallback()) as gate:
        await one.stop()
        await gate.chat()
        key, _ = await Tenants(gate).key(models=(MODEL,))
        reply = await gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, key)
        assert (reply.status, reply.error["code"]) == (503, "engine_unavailable")
        assert not two.calls


async def test_a_failing_engine_of_a_model_with_a_fallback_is_still_tried() -> None:
    settings: dict[str, Any] = with_fallback() | {"engine": soon(0.2)}
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two, **settings) as gate:
        one.always = error(500)
        for _ in range(FAILURES):
            assert (await gate.chat()).status == 502
        assert (await gate.chat()).json["model"] == FALLBACK
        one.always = None
        await eventually(lambda: gate.parts.engines["one"].limit == 1)
        assert (await gate.chat()).json["model"] == MODEL
        assert (await gate.chat()).json["model"] == MODEL


async def test_a_drained_engine_gets_nothing_new_and_loses_nothing() -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        one.always = two.always = answer(delay_s=0.1)
        running = [asyncio.create_task(gate.chat(stream=True)) for _ in range(6)]
        await eventually(lambda: len(one.calls) == len(two.calls) == 3)
        gate.parts.drain({"one"})
        later = await asyncio.gather(*[gate.chat() for _ in range(4)])
        assert (len(one.calls), len(two.calls)) == (3, 7)
        assert all(reply.text() == "Hello there, friend." for reply in [*later, *await asyncio.gather(*running)])
        assert gate.metric("portico_engine_up", engine="one") == 1
        assert gate.metric("portico_engine_in_flight_requests", engine="one") == 0
        gate.parts.drain({"two"})
        assert (await gate.chat()).status == 200
        assert len(one.calls) == 4
        gate.parts.drain({"one", "two"})
        assert (await gate.chat()).error["code"] == "engine_unavailable"


async def test_the_queue_goes_on_when_an_engine_is_taken_back() -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two, engine={"max_in_flight": 1}) as gate:
        one.always = two.always = hang(1)
        gate.parts.drain({"two"})
        async with gate.opened(stream=True) as wire:
            await wire.head()
            two.always = None
            waiting = asyncio.create_task(gate.chat())
            await eventually(lambda: gate.parts.gateway.admission.queued == 1)
            gate.parts.drain(set())
            assert (await waiting).text() == "Hello there, friend."
            assert len(two.calls) == 1


async def test_what_happens_to_engines_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "portico")
    async with EngineDouble() as one, portico(one) as gate:
        one.always = error(500)
        for _ in range(FAILURES):
            await gate.chat()
        gate.parts.drain({"one"})
        gate.parts.drain(set())
        text = gate.log_text()
        assert "engine one fails" in text
        assert "engine one is drained" in text
        assert "engine one is in use again" in text
