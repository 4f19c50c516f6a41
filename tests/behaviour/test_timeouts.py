"""A deadline for each phase of a call."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tests.behaviour.engine_double import EngineDouble, Exchange, answer, hang
from tests.behaviour.serving import MODEL, eventually, portico
from tests.behaviour.vllm import DONE, Reply, stream


@pytest.mark.parametrize("stream", [True, False])
async def test_first_byte(stream: bool) -> None:
    async with EngineDouble() as engine:
        settings = {"timeouts": {"first_byte_s": 0.3}}
        async with portico(engine, engine=settings, server={"first_event_grace_s": 5}) as gate:
            engine.plan(hang())
            reply = await gate.chat(stream=stream)
            assert (reply.status, reply.error["code"]) == (504, "engine_timeout")
            assert int(reply.headers["retry-after"]) >= 1
            await eventually(engine.calls[0].left.is_set)
            assert len(engine.calls) == 1  # it may be computing: not asked again
            assert gate.total("portico_requests_total", outcome="engine_timeout", model=MODEL) == 1


@pytest.mark.parametrize("waits", [0.5, 1.5])
async def test_a_head_alone_begins_no_answer(waits: float) -> None:
    """vLLM sends the head of a stream at once, and then reads the prompt or lets the call wait for its turn."""

    async def late(exchange: Exchange) -> None:
        await exchange.head()
        await asyncio.sleep(waits)
        for event in stream(Reply("Hello."), exchange.call.json):
            await exchange.event(event)
        await exchange.part(DONE)
        await exchange.end()

    timeouts = {"first_byte_s": 1, "between_bytes_s": 0.2}
    settings = {"first_event_grace_s": 5}
    async with EngineDouble() as engine, portico(engine, engine={"timeouts": timeouts}, server=settings) as gate:
        engine.plan(late)
        reply = await gate.chat(stream=True)
        assert reply.status == (200 if waits < 1 else 504)


async def test_between_bytes() -> None:
    async with EngineDouble() as engine, portico(engine, engine={"timeouts": {"between_bytes_s": 0.3}}) as gate:
        engine.plan(hang(3))
        reply = await gate.chat(stream=True)
        assert reply.status == 200
        assert json.loads(reply.payloads[-1])["error"]["code"] == "engine_timeout"
        await eventually(engine.calls[0].left.is_set)
        engine.plan(answer(delay_s=0.1))  # longer as a whole, never silent for so long
        assert (await gate.chat(stream=True)).text() == "Hello there, friend."


@pytest.mark.parametrize("stream", [True, False])
async def test_total(stream: bool) -> None:
    async def drip(exchange: Exchange) -> None:
        await exchange.head()
        while not exchange.call.left.is_set():
            await exchange.part(b": ping\n\n" if stream else b" ")
            await asyncio.sleep(0.05)

    timeouts, grace = {"total_s": 0.9}, {"first_event_grace_s": 0.2}
    async with EngineDouble() as engine, portico(engine, engine={"timeouts": timeouts}, server=grace) as gate:
        engine.plan(drip)
        reply = await asyncio.wait_for(gate.chat(stream=stream), 10)
        assert reply.status == (200 if stream else 504)  # the stream was silent for longer than its grace time
        assert json.loads(reply.payloads[-1] if stream else reply.body)["error"]["code"] == "engine_timeout"
        await eventually(engine.calls[0].left.is_set)


async def test_connect() -> None:
    with socket.socket() as full:  # a backlog that is full drops what knocks
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        async with EngineDouble() as engine:
            url = {"url": f"http://127.0.0.1:{full.getsockname()[1]}/v1", "timeouts": {"connect_s": 0.3}}
            async with portico(engine, engine=url, ready=False) as gate:
                one = gate.parts.engines["one"]
                one.mark(up=True, why="")
                reply = await asyncio.wait_for(gate.chat(), 3)
                assert (reply.status, reply.error["code"]) == (503, "engine_unavailable")
                assert not one.up
        for filler in fillers:
            filler.close()
