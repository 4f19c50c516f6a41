"""Calls wait for a busy engine: not too many, not for too long, in order, and only while their client waits too."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.serving import eventually, portico

SMALL: dict[str, Any] = {"engine": {"max_in_flight": 1}, "admission": {"max_queue": 2, "max_wait_s": 20}}


async def test_full() -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL) as gate:
        engine.plan(hang(1))
        async with gate.opened(stream=True) as first:
            await first.head()
            waiting = [asyncio.create_task(gate.chat()) for _ in range(2)]
            await eventually(lambda: gate.parts.gateway.admission.slots.queued == 2)
            reply = await gate.chat()
            assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
            assert reply.error["type"] == "rate_limit_error"
            assert int(reply.headers["retry-after"]) >= 1
            assert gate.total("portico_requests_total", outcome="limited") == 1
        assert [(await task).status for task in waiting] == [200, 200]
        assert gate.total("portico_queue_wait_seconds_count") == 2
        assert gate.parts.engines["one"].in_flight == 0


async def test_too_long() -> None:
    settings: dict[str, Any] = SMALL | {"admission": {"max_wait_s": 0.3}}
    async with EngineDouble() as engine, portico(engine, **settings) as gate:
        engine.plan(hang(1))
        async with gate.opened(stream=True) as first:
            await first.head()
            reply = await gate.chat(stream=True)
            assert (reply.status, reply.error["code"]) == (503, "engine_overloaded")
            assert int(reply.headers["retry-after"]) >= 1
            assert gate.total("portico_gateway_overhead_seconds_sum") < 0.2  # the wait is not the gateway's work


async def test_first_come_first_served() -> None:
    async with EngineDouble() as engine, portico(engine, engine={"max_in_flight": 1}) as gate:
        engine.always = answer(delay_s=0.01)
        tasks = []
        for seed in range(6):
            tasks.append(asyncio.create_task(gate.chat(seed=seed)))
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)
        assert [call.json["seed"] for call in engine.calls] == [0, 1, 2, 3, 4, 5]


async def test_nothing_is_sent_while_queued() -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL, server={"first_event_grace_s": 0.2}) as gate:
        engine.plan(hang(1))
        async with gate.opened(stream=True) as first, gate.opened(stream=True) as second:
            await first.head()
            head = asyncio.create_task(second.head())
            await asyncio.sleep(0.6)
            assert not head.done()
            first.leave()
            assert await head == 200


async def test_a_queued_client_that_leaves_frees_its_place() -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL) as gate:
        slots = gate.parts.gateway.admission.slots
        engine.plan(hang(1))
        async with gate.opened(stream=True) as first:
            await first.head()
            async with gate.opened(), gate.opened(stream=True):
                await eventually(lambda: slots.queued == 2)
            await eventually(lambda: slots.queued == 0)
            task = asyncio.create_task(gate.chat())
            await eventually(lambda: slots.queued == 1)
        assert (await task).status == 200
        assert len(engine.calls) == 2  # those who left were never sent
        assert gate.total("portico_in_flight_requests") == 0


async def test_the_slot_is_held_to_the_last_byte() -> None:
    async with EngineDouble() as engine, portico(engine, engine={"max_in_flight": 2}) as gate:
        engine.always = answer(delay_s=0.02)
        await asyncio.gather(*[gate.chat(stream=bool(i % 2), stop="x" if i % 3 else None) for i in range(12)])
        assert gate.parts.engines["one"].in_flight == 0
        assert len({call.connection for call in engine.calls}) <= 3  # never more than two calls at once


async def test_nothing_waits_for_an_engine_that_went_down() -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL) as gate:
        engine.plan(hang(1))
        async with gate.opened(stream=True) as first:
            await first.head()
            waiting = asyncio.create_task(gate.chat())
            await eventually(lambda: gate.parts.gateway.admission.slots.queued == 1)
            gate.parts.engines["one"].suspect()
            reply = await asyncio.wait_for(waiting, 3)
            assert (reply.status, reply.error["code"]) == (503, "engine_unavailable")
