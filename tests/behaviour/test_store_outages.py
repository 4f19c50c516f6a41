"""Stores that go and come back under a service that runs, or are not there yet when it starts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.engine_double import EngineDouble, answer
from tests.behaviour.processes import Served, serve, started
from tests.behaviour.serving import eventually
from tests.behaviour.tenant_processes import becomes, count, new_key, used
from tests.services.postgres import Postgres, running
from tests.services.redis import RedisServer, running_server

DEGRADED = "portico_limits_degraded"


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """One to be stopped."""
    with running() as server:
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One to be stopped."""
    yield from running_server(tmp_path)


def said(served: Served, *words: str) -> list[str]:
    """Lines of the log that have all these words and are no line of a request."""
    lines = [str(line["msg"]) for line in served.log_lines() if line["msg"] != "request"]
    return [line for line in lines if all(word in line for word in words)]


async def test_the_database_goes_and_comes_back(tmp_path: Path, postgres: Postgres) -> None:
    database = postgres.new_database()
    stores = {"durable": postgres.url(database)}
    async with (
        EngineDouble() as engine,
        serve(engine, tmp_path, stores=stores, auth={"cache_s": 0.2}) as served,
    ):
        known, unknown = [(await new_key(served))[0] for _ in range(2)]
        revoked, record = await new_key(served)
        assert await count(10, served, known) == [200] * 10
        engine.plan(answer(delay_s=1.5))
        across = asyncio.create_task(served.chat(known))
        await eventually(lambda: len(engine.calls) == 11)
        await asyncio.to_thread(postgres.stop)
        assert await count(20, served, known) == [200] * 20
        replies = [await served.chat(unknown) for _ in range(2)]
        assert [(reply.status, reply.error["code"]) for reply in replies] == [(503, "store_unavailable")] * 2
        assert {reply.headers["retry-after"] for reply in replies} == {"2"}
        assert (await across).status == 200
        await eventually(lambda: said(served, "usage is kept in the spool"))
        assert await count(20, served, known) == [200] * 20, "later, too"
        await asyncio.to_thread(postgres.start)

        async def status() -> int:
            return (await served.chat(unknown)).status

        await becomes(status, 200)

        async def delivered() -> int:
            return await asyncio.to_thread(used, postgres, database)

        await becomes(delivered, len(engine.calls), 20)
        assert len(said(served, "usage is kept in the spool")) == len(said(served, "usage is delivered again")) == 1
        assert await served.sum_of("portico_usage_lost_records_total") == 0
        assert (await served.portico("keys", "revoke", record.id)).status == 0

        async def refusal() -> int:
            return (await served.chat(revoked)).status

        await becomes(refusal, 401)
        assert await served.end() == 0
        assert await asyncio.to_thread(used, postgres, database) == len(engine.calls), "nothing twice"


async def test_a_start_before_the_database(tmp_path: Path, postgres: Postgres) -> None:
    stores = {"durable": postgres.url()}
    await asyncio.to_thread(postgres.stop)
    async with EngineDouble() as engine, started(engine, tmp_path, stores=stores) as served:
        await eventually(lambda: "Waiting for the database" in served.screen(), 10)
        await asyncio.sleep(3.5)  # past its next attempt
        await asyncio.to_thread(postgres.start)
        await served.ready()
        waiting = [line for line in served.screen().splitlines() if "database" in line]
        assert len(waiting) == 1, waiting
        assert f"127.0.0.1:{postgres.port}" in waiting[0]
        key, _ = await new_key(served)
        assert (await served.chat(key)).status == 200
        assert await served.end() == 0


@pytest.mark.parametrize("policy", ["local", "closed"])
async def test_the_store_of_limits_goes_and_comes_back(tmp_path: Path, redis: RedisServer, policy: str) -> None:
    limits = {"store_down": policy, "replicas": 2}
    stores = {"volatile": redis.url}
    async with EngineDouble() as engine, serve(engine, tmp_path, limits=limits, stores=stores) as served:
        key, _ = await new_key(served, requests_per_minute=10, requests_per_day=1000)
        free, _ = await new_key(served)
        assert await count(4, served, key) == [200] * 4

        async def degraded() -> float:
            return await served.sum_of(DEGRADED)

        assert await degraded() == 0
        engine.plan(answer(delay_s=1.0))
        across = asyncio.create_task(served.chat(key))
        await eventually(lambda: len(engine.calls) == 5)
        redis.stop()
        statuses = sorted(await count(8, served, key))
        assert statuses == ([200] * 5 + [429] * 3 if policy == "local" else [503] * 8)
        if policy == "closed":
            refused = await served.chat(key)
            assert (refused.error["code"], refused.headers["retry-after"]) == ("store_unavailable", "2")
        assert (await served.chat(free)).status == 200
        assert (await across).status == 200
        await becomes(degraded, 1)
        redis.start()
        await becomes(degraded, 0)
        assert (await served.chat(key)).headers["x-ratelimit-remaining-requests"] == "9", "a store that lost its data"
        assert (await served.chat(key)).headers["x-ratelimit-remaining-requests"] == "8", "and counts again"
        assert len(said(served, "limits: the shared store is down")) == 1
        assert len(said(served, "limits: the shared store is back")) == 1
        assert said(served, "Traceback") == []
        assert await served.end() == 0
