"""Engines that go and come back, connections that are stale, and several engines for one model."""

from __future__ import annotations

import asyncio

import pytest

from tests.behaviour.engine_double import EngineDouble, Exchange, answer, breaks, error, hang
from tests.behaviour.serving import MODEL, eventually, portico


@pytest.mark.parametrize("stream", [True, False])
async def test_a_kept_connection_closed_at_the_moment_of_use(stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        assert (await gate.chat()).status == 200
        for how in ("reset", "close"):
            engine.plan(breaks(how=how))
            reply = await gate.chat(stream=stream)
            assert reply.text() == "Hello there, friend."
            assert gate.log_lines()[-1]["retries"] == 1
        assert len(engine.calls) == 5


async def test_many_stale_connections() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = answer(delay_s=0.05)
        await asyncio.gather(*[gate.chat() for _ in range(8)])
        assert len(engine.links) >= 8
        engine.always = None
        engine.drop_idle()
        assert (await gate.chat()).status == 200


async def test_an_engine_that_always_breaks() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = breaks()
        reply = await asyncio.wait_for(gate.chat(), 3)
        assert (reply.status, reply.error["code"]) == (502, "engine_error")
        assert len(engine.calls) == 2


async def test_connections_are_kept() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for stream in (True, False, True, False):
            assert (await gate.chat(stream=stream)).status == 200
        assert (await gate.chat(tools=[{"type": "function", "function": {"name": "f"}}])).status == 200
        engine.plan(error(400, "bad"))
        assert (await gate.chat()).status == 400
        assert (await gate.chat()).status == 200
        assert len({call.connection for call in engine.calls}) == 1


async def test_down_and_up_again() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        assert gate.metric("portico_engine_up", engine="one") == 1
        await engine.stop()
        for _ in range(2):
            reply = await gate.chat()
            assert (reply.status, reply.error["code"]) == (503, "engine_unavailable")
            assert int(reply.headers["retry-after"]) >= 1
            assert int(reply.headers["retry-after-ms"]) >= 1000
        assert gate.metric("portico_engine_up", engine="one") == 0
        await engine.start()
        await eventually(lambda: gate.parts.engines["one"].up, 3)
        assert (await gate.chat()).status == 200
        assert gate.metric("portico_engine_up", engine="one") == 1


async def test_not_ready_at_the_start() -> None:
    engine = EngineDouble()
    engine.healthy = False
    async with engine, portico(engine, ready=False) as gate:
        await eventually(lambda: engine.probes)
        reply = await gate.chat()
        assert (reply.status, reply.error["code"]) == (503, "engine_unavailable")
        assert (await gate.request("GET", "/v1/models")).status == 200
        engine.healthy = True
        await eventually(lambda: gate.parts.engines["one"].up, 3)
        assert (await gate.chat()).status == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_cannot_be_reached_is_passed_over(stream: bool) -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        await one.stop()
        for _ in range(3):
            assert (await gate.chat(stream=stream)).text() == "Hello there, friend."
        assert (len(one.calls), len(two.calls)) == (0, 3)
        assert gate.log_lines()[0]["engine"] == "two"
        await one.start()
        await eventually(lambda: gate.parts.engines["one"].up, 3)
        await asyncio.gather(*[gate.chat() for _ in range(4)])
        assert one.calls


async def test_the_least_loaded_gets_the_call() -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        one.always = two.always = hang(1)
        wires = [gate.opened(stream=True) for _ in range(6)]
        for wire in wires:
            await (await wire.__aenter__()).head()
        assert (len(one.calls), len(two.calls)) == (3, 3)
        for wire in wires:
            await wire.__aexit__(None, None, None)


async def test_a_conversation_stays_where_its_prefix_is() -> None:
    """Twelve conversations of four turns each: every turn after the first goes where the one before it went."""
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        homes: set[str] = set()
        for number in range(12):
            messages = [{"role": "user", "content": f"{number} is my number. " * 40}]
            seen: set[str] = set()
            for turn in range(4):
                assert (await gate.chat(messages=messages)).status == 200
                seen.add(gate.log_lines()[-1]["engine"])
                messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": f"And {turn}?"}]
            assert len(seen) == 1
            homes |= seen
        assert homes == {"one", "two"}


async def test_no_other_engine_once_bytes_have_come() -> None:
    async with EngineDouble() as one, EngineDouble() as two, portico(one, two) as gate:
        one.always = two.always = breaks(2)
        reply = await gate.chat(stream=True)
        assert b'"engine_error"' in reply.body
        assert len(one.calls) + len(two.calls) == 1


async def test_bytes_that_nobody_asked_for() -> None:
    """An answer left on a kept connection must never be taken for the answer of the next call."""

    async def talkative(exchange: Exchange) -> None:
        await answer("first")(exchange)
        await asyncio.sleep(0.05)
        await answer("forged")(exchange)

    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(talkative)
        assert (await gate.chat()).text() == "first"
        await asyncio.sleep(0.15)
        assert (await gate.chat()).text() == "Hello there, friend."
        assert gate.metric("portico_requests_total", model=MODEL, endpoint="chat.completions", outcome="ok") == 2
