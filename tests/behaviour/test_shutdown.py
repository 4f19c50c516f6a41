"""Draining, without processes: no new calls, and an error for what is still open at the end of the grace time."""

from __future__ import annotations

import asyncio
import json

from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, eventually, portico


async def test_no_new_calls_while_open_ones_go_on() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(answer(delay_s=0.03))
        async with gate.opened(stream=True) as wire:
            await wire.head()
            gate.parts.gateway.drain()
            reply = await gate.chat()
            assert (reply.status, reply.error["code"]) == (503, "shutting_down")
            assert int(reply.headers["retry-after"]) == 1
            assert b"".join([part async for part in wire.parts()]).endswith(b"data: [DONE]\n\n")
        assert gate.total("portico_requests_total", outcome="shutting_down") == 1


async def test_what_is_open_ends_with_an_error() -> None:
    async with EngineDouble() as engine, portico(engine, engine={"max_in_flight": 2}) as gate:
        engine.always = hang(3)
        async with gate.opened(stream=True) as stream, gate.opened() as whole:
            await stream.head()
            await eventually(lambda: len(engine.calls) == 2)
            queued = asyncio.create_task(gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}))
            await eventually(lambda: len(gate.parts.gateway.trips) == 3)
            gate.parts.gateway.end_all()
            gate.parts.gateway.end_all()
            body = b"".join([part async for part in stream.parts()])
            assert json.loads(body.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]["code"] == "shutting_down"
            for reply in (await whole.reply(), await queued):
                assert (reply.status, reply.error["code"]) == (503, "shutting_down")
        await eventually(lambda: all(call.left.is_set() for call in engine.calls))
        assert gate.parts.engines["one"].in_flight == 0
        assert len(engine.calls) == 2
