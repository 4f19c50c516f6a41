"""A client that leaves ends the engine's work; one that does not read holds it up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, flood, hang
from tests.behaviour.serving import CHAT, COMPLETIONS, MESSAGES, MODEL, eventually, portico
from tests.behaviour.wire import Wire

TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize("after", [None, 0, 3])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_engine_sees_it_soon(stream: bool, path: str, after: int | None) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(hang(after) if path == CHAT or after is None else hang())
        async with gate.opened(path, stream=stream) as wire:
            await eventually(lambda: engine.calls)
            assert gate.total("portico_in_flight_requests") == 1
            if stream and after == 3 and path == CHAT:
                await wire.head()
        await asyncio.wait_for(engine.calls[0].left.wait(), 1)
        await eventually(gate.log_lines)
        assert gate.log_lines()[0]["outcome"] == "client_gone"
        assert gate.total("portico_requests_total", outcome="client_gone") == 1
        assert gate.total("portico_in_flight_requests") == 0
        assert gate.parts.engines["one"].in_flight == 0


async def test_a_client_that_says_it_will_send_no_more_has_left() -> None:
    """On the wire it is the same as leaving."""
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(hang())
        async with gate.opened() as wire:
            await eventually(lambda: engine.calls)
            wire.half_close()
            await asyncio.wait_for(engine.calls[0].left.wait(), 1)
            assert await wire.rest() == b""
        await eventually(gate.log_lines)
        assert gate.log_lines()[0]["outcome"] == "client_gone"


@pytest.mark.parametrize(("body", "events"), [({}, 6), ({"tools": [TOOL]}, 4), ({}, 0)])
async def test_what_was_streamed_until_then_is_counted(body: dict[str, Any], events: int) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(hang(1 + events))  # the first one has no text
        async with gate.opened(stream=True, **body) as wire:
            await wire.head()
            got = b""
            async for part in wire.parts():
                got += part
                if got.count(b"data: ") == 1 + events:
                    break
        await eventually(gate.log_lines)
        (line,) = gate.log_lines()
        assert (line["outcome"], line["prompt_tokens"], line["completion_tokens"]) == (
            "client_gone",
            None,
            events or None,
        )
        assert gate.metric("portico_tokens_total", model=MODEL, kind="completion") == events
        assert gate.metric("portico_tokens_total", model=MODEL, kind="prompt") == 0


async def test_nothing_is_counted_that_was_not_seen() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(hang())
        async with gate.opened():
            await eventually(lambda: engine.calls)
        await eventually(gate.log_lines)
        assert gate.log_lines()[0]["completion_tokens"] is None
        assert gate.metric("portico_tokens_total", model=MODEL, kind="completion") == 0


async def test_a_slow_reader_pushes_back() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(flood(20_000, "x" * 10_000))  # 200 MB
        async with Wire(gate.port, receive_buffer=8192) as wire:
            await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "stream": True})
            await wire.head()
            await eventually(lambda: engine.paused)
            await asyncio.sleep(0.3)
            sent = engine.calls[0].sent
            await asyncio.sleep(0.3)
            assert engine.calls[0].sent == sent < 20_000_000
            assert not engine.calls[0].finished
            count = 0
            async for part in wire.parts():
                count += len(part)
                if count > 8_000_000:
                    break
            assert engine.calls[0].sent > sent  # it goes on once the client reads
        await asyncio.wait_for(engine.calls[0].left.wait(), 1)


async def test_a_client_that_never_reads_is_let_go() -> None:
    async with EngineDouble() as engine, portico(engine, server={"client_timeout_s": 0.5}) as gate:
        engine.plan(flood(20_000, "x" * 10_000))
        async with Wire(gate.port, receive_buffer=8192) as wire:
            await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "stream": True})
            await asyncio.wait_for(engine_left(engine), 4)
            await eventually(gate.log_lines)
            assert gate.log_lines()[0]["outcome"] == "client_gone"
            assert gate.parts.gateway.trips == set()
            await eventually(lambda: not gate.connections)  # and so does what was kept for it


async def engine_left(engine: EngineDouble) -> None:
    await eventually(lambda: engine.calls)
    await engine.calls[0].left.wait()


async def test_many_leave_at_once() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = hang(2)
        wires = [gate.opened(stream=bool(number % 2)) for number in range(40)]
        opened = [await wire.__aenter__() for wire in wires]
        await eventually(lambda: len(engine.calls) == 40)
        for wire in opened:
            wire.leave()
        await eventually(lambda: all(call.left.is_set() for call in engine.calls))
        await eventually(lambda: gate.total("portico_in_flight_requests") == 0)
        assert gate.parts.gateway.trips == set()
        assert gate.parts.engines["one"].in_flight == 0
        for wire in wires:
            await wire.__aexit__(None, None, None)
        engine.always = None
        assert (await gate.chat()).status == 200
