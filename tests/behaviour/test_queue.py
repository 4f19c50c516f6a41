"""Calls wait for a busy engine: not too many, not for too long, in order, and only while their client waits too."""

from __future__ import annotations

import asyncio
import hashlib
from time import perf_counter
from typing import Any

from server.admission.fair_queue import CLASSES
from server.engines.dialect import VllmDialect
from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.serving import CHAT, COMPLETIONS, MESSAGES, MODEL, Gate, eventually, portico
from tests.behaviour.wire import Reply

SMALL: dict[str, Any] = {"engine": {"max_in_flight": 1}, "admission": {"max_queue": 2, "max_wait_s": 20}}


async def test_full() -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL) as gate:
        engine.plan(hang(1))
        async with gate.opened(stream=True) as first:
            await first.head()
            waiting = [asyncio.create_task(gate.chat()) for _ in range(2)]
            await eventually(lambda: gate.parts.gateway.admission.queued == 2)
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
        admission = gate.parts.gateway.admission
        engine.plan(hang(1))
        async with gate.opened(stream=True) as first:
            await first.head()
            async with gate.opened(), gate.opened(stream=True):
                await eventually(lambda: admission.queued == 2)
            await eventually(lambda: admission.queued == 0)
            task = asyncio.create_task(gate.chat())
            await eventually(lambda: admission.queued == 1)
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
            await eventually(lambda: gate.parts.gateway.admission.queued == 1)
            gate.parts.engines["one"].suspect()
            reply = await asyncio.wait_for(waiting, 3)
            assert (reply.status, reply.error["code"]) == (503, "engine_unavailable")


# Fairness between projects

A, B = "sk-test-of-project-a", "sk-test-of-project-b"


def two_projects(in_flight: int = 1, **admission: Any) -> dict[str, Any]:
    keys = [
        {"name": name, "project": name, "key_sha256": hashlib.sha256(key.encode()).hexdigest(), **extra}
        for name, key, extra in (("a", A, {}), ("b", B, {"priority": admission.pop("priority_of_b", "standard")}))
    ]
    return {"engine": {"max_in_flight": in_flight}, "auth": {"static_keys": keys}, "admission": admission}


async def queue_up(gate: Gate, *calls: dict[str, Any]) -> list[asyncio.Task[Reply]]:
    """Each call waits before the next one comes. `who` is the key, `seed` tells the calls apart."""
    admission, tasks = gate.parts.gateway.admission, []
    for call in calls:
        body = {"model": MODEL, "messages": MESSAGES} | call
        before = admission.queued
        tasks.append(asyncio.create_task(gate.request("POST", CHAT, body, key=body.pop("who"))))
        await eventually(lambda before=before: admission.queued > before)
    return tasks


def order(engine: EngineDouble) -> list[int]:
    """The seeds of the calls after the first, in which the engine was held."""
    return [call.json["seed"] for call in engine.calls[1:]]


async def test_a_flood_does_not_hold_another_project_up() -> None:
    async with EngineDouble() as engine, portico(engine, **two_projects()) as gate:
        engine.plan(hang(1))
        async with gate.opened(key=A, stream=True) as first:
            await first.head()
            flood = [{"who": A, "seed": seed} for seed in range(5)]
            tasks = await queue_up(gate, *flood, {"who": B, "seed": 10}, {"who": B, "seed": 11})
        assert [(await task).status for task in tasks] == [200] * 7
        assert order(engine)[0] == 10  # one of the flood was running already
        assert set(order(engine)[:4]) == {10, 11, 0, 1}


async def test_weights_of_the_configuration() -> None:
    async with EngineDouble() as engine, portico(engine, **two_projects(weights={"b": 3})) as gate:
        engine.plan(hang(1))
        async with gate.opened(key=A, stream=True) as first:
            await first.head()
            calls = [{"who": who, "seed": seed} for seed, who in enumerate((A, B) * 8)]
            tasks = await queue_up(gate, *calls)
        await asyncio.gather(*tasks)
        assert sum(seed % 2 for seed in order(engine)[:8]) == 6


async def test_what_streams_is_charged_while_it_does() -> None:
    async with EngineDouble() as engine, portico(engine, **two_projects(in_flight=2)) as gate:
        queue = gate.parts.gateway.admission.pools[0].slots.queue
        engine.plan(hang(1), hang(5))  # the first of these events is the role
        async with gate.opened(key=A, stream=True) as a:
            await a.head()
            async with gate.opened(key=B, stream=True) as b:
                await b.head()
                [prompt] = {trip._call.size // 4 for trip in gate.parts.gateway.trips}
                await eventually(lambda: {trip._call.streamed for trip in gate.parts.gateway.trips} == {0, 4})
                gate.parts.watchdog.sweep(perf_counter())
                counters = {row.tenant: row.counter for row in queue.snapshot(0) if row.running == 1}
                assert counters == {"a": prompt, "b": 2 * prompt + 2 * 4}  # lifted to the other's, and charged
        await eventually(lambda: queue.snapshot(0) == [])


async def test_classes_of_keys_and_of_service_tier() -> None:
    async with EngineDouble() as engine, portico(engine, **two_projects(priority_of_b="interactive")) as gate:
        engine.plan(hang(1))
        async with gate.opened(key=A, stream=True) as first:
            await first.head()
            tasks = await queue_up(
                gate,
                {"who": B, "seed": 3, "service_tier": "flex"},
                {"who": A, "seed": 2, "service_tier": "priority"},  # nobody raises himself
                {"who": B, "seed": 1, "service_tier": "auto"},
            )
            assert gate.metric("portico_queued_requests", **{"model": MODEL, "class": "batch"}) == 1
            assert gate.total("portico_queued_requests") == 3
        await asyncio.gather(*tasks)
        assert order(engine) == [1, 2, 3]
        waits = {name: gate.metric("portico_queue_wait_seconds_count", **{"class": name}) for name in CLASSES}
        assert waits == {"interactive": 1, "standard": 1, "batch": 1}
        assert gate.total("portico_queued_requests") == 0


async def test_an_aged_call_goes_before_younger_ones_of_its_class_above() -> None:
    settings = two_projects(priority_of_b="interactive", age_s=0.05)
    async with EngineDouble() as engine, portico(engine, **settings) as gate:
        engine.plan(hang(1))
        async with gate.opened(key=A, stream=True) as first:
            await first.head()
            tasks = await queue_up(gate, {"who": A, "seed": 1})
            await asyncio.sleep(0.1)  # the age itself
            tasks += await queue_up(gate, *({"who": B, "seed": seed} for seed in (2, 3, 4, 5)))
        await asyncio.gather(*tasks)
        assert order(engine).index(1) <= 1


async def test_a_full_queue_pushes_out_the_flood() -> None:
    async with EngineDouble() as engine, portico(engine, **two_projects(max_queue=3)) as gate:
        engine.plan(hang(1))
        async with gate.opened(key=A, stream=True) as first:
            await first.head()
            flood = await queue_up(gate, *({"who": A, "seed": seed} for seed in range(3)))
            calm = asyncio.create_task(
                gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "seed": 9}, key=B)
            )
            reply = await flood.pop()
            assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
            assert int(reply.headers["retry-after"]) >= 1
            again = await gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, key=A)
            assert again.status == 429
        assert [(await task).status for task in (*flood, calm)] == [200, 200, 200]
        assert gate.total("portico_requests_total", outcome="limited") == 2


async def test_priority_and_salt_are_sent_where_the_engine_takes_them() -> None:
    settings = two_projects(priority_of_b="interactive")
    settings["engine"] = {"vllm": True}
    async with EngineDouble() as engine, portico(engine, **settings) as gate:
        for key, tier in ((A, "auto"), (A, "flex"), (B, None)):
            await gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "service_tier": tier}, key=key)
        await gate.request("POST", COMPLETIONS, {"model": MODEL, "prompt": "Once"}, key=B)
        sent = [call.json for call in engine.calls]
        assert [one["priority"] for one in sent] == [1, 2, 0, 0]
        salts = [one["cache_salt"] for one in sent]
        assert salts[0] == salts[1] != salts[2] == salts[3]
        assert all(len(salt) == 24 and "a" != salt != "b" for salt in salts)
        assert not any("service_tier" in one for one in sent)


async def test_priority_and_salt_are_not_sent_to_any_other_engine() -> None:
    async with EngineDouble() as engine, portico(engine, **two_projects()) as gate:
        await gate.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, key=A)
        assert not {"priority", "cache_salt"} & engine.calls[0].json.keys()


async def test_a_call_that_moves_to_another_kind_of_engine_is_asked_in_its_words() -> None:
    async with EngineDouble() as gone, EngineDouble() as there, portico(gone, there, engine={"vllm": True}) as gate:
        gate.parts.engines["two"].dialect = VllmDialect(owned=False)
        await gone.stop()
        reply = await gate.chat()
        assert reply.status == 200
        assert gate.parts.engines["one"].in_flight == gate.parts.engines["two"].in_flight == 0
        assert len(there.calls) == 1
        assert not {"priority", "cache_salt"} & there.calls[0].json.keys()
