"""Keys, limits and usage over real processes: several workers, two replicas, one killed or ended in mid-load."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.processes import Served, serve
from tests.behaviour.serving import eventually
from tests.behaviour.tenant_processes import becomes, count, new_key, outcomes, rows, told, used
from tests.behaviour.vllm import PROMPT_TOKENS, Reply
from tests.behaviour.wire import Reply as Answer
from tests.services.postgres import Postgres, running
from tests.services.redis import RedisServer, redis_server

__all__ = ["redis_server"]

GRANTED = 50
LEASES = "{portico}:limits:leases"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


async def flooded(served: Served, key: str) -> tuple[list[Answer], list[Answer]]:
    """64 clients, three calls of each: those that were granted, and those that were not."""

    async def client() -> list[Answer]:
        return [await served.chat(key) for _ in range(3)]

    replies = [reply for several in await asyncio.gather(*(client() for _ in range(64))) for reply in several]
    assert {reply.status for reply in replies} <= {200, 429}
    return [one for one in replies if one.status == 200], [one for one in replies if one.status == 429]


async def test_two_workers_with_a_shared_store_grant_exactly_the_limit(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.flush()
    stores = {"volatile": redis_server.url}
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"workers": 2}, stores=stores) as served:
        key, _ = await new_key(served, requests_per_minute=GRANTED)
        granted, refused = await flooded(served, key)
        assert len(granted) == len(engine.calls) == GRANTED
        assert {one.headers["x-ratelimit-limit-requests"] for one in (*granted, *refused)} == {str(GRANTED)}
        left = sorted(int(one.headers["x-ratelimit-remaining-requests"]) for one in granted)
        assert left == list(range(GRANTED)), "each was told what it had left to the others"
        assert {one.headers["x-ratelimit-remaining-requests"] for one in refused} == {"0"}
        assert all(0 < int(one.headers["retry-after"]) <= 61 for one in refused)
        assert {one.error["code"] for one in refused} == {"rate_limit_exceeded"}
        assert await served.end() == 0


async def test_two_workers_without_one_grant_no_more(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path, server={"workers": 2}) as served:
        key, _ = await new_key(served, requests_per_minute=GRANTED)
        granted, _ = await flooded(served, key)
        assert len(granted) == len(engine.calls)
        assert GRANTED // 2 <= len(granted) <= GRANTED


async def test_two_replicas(tmp_path: Path, postgres: Postgres, redis_server: RedisServer) -> None:
    redis_server.flush()
    stores = {"durable": postgres.url(postgres.new_database()), "volatile": redis_server.url}
    async with EngineDouble() as engine, AsyncExitStack() as stack:
        one, other = await asyncio.gather(
            *(stack.enter_async_context(serve(engine, tmp_path / name, stores=stores)) for name in ("one", "other"))
        )
        made = await one.portico("keys", "create", "--json", "--limit", "requests_per_minute=7")
        record = json.loads(made.out)
        key, key_id, project = record["value"], record["id"], record["project_id"]
        admin = (await other.portico("admin-keys", "create", "tester")).out
        statuses = [(await served.chat(key)).status for served in (one, other) * 4]
        assert statuses == [200] * 7 + [429]
        expected = (7, 7 * PROMPT_TOKENS, 7 * Reply(reasoning="They greet me.").tokens)
        for served in (one, other):
            await becomes(lambda served=served: told(served, admin, key_id), expected)
        assert (await one.chat(key)).status == 429
        gone = await one.request("DELETE", f"/v1/organization/projects/{project}/api_keys/{key_id}", key=admin)
        assert gone.status == 200
        assert (await one.chat(key)).status == 401

        async def status() -> int:
            return (await other.chat(key)).status

        await becomes(status, 401, 5)
        assert [await served.end() for served in (one, other)] == [0, 0]


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_a_worker_killed_in_mid_load(tmp_path: Path, store: str, redis_server: RedisServer) -> None:
    redis_server.flush()
    stores = {"volatile": redis_server.url if store == "redis" else "memory://"}
    async with EngineDouble() as engine, serve(engine, tmp_path, stores=stores) as served:
        loaded, _ = await new_key(served)
        key, record = await new_key(served, concurrent_requests=3, tokens_per_minute=100_000)
        finished: set[str] = set()
        killed = asyncio.Event()

        async def client() -> None:
            while not killed.is_set():
                finished.add((await served.chat(loaded)).headers["x-request-id"])

        async with AsyncExitStack() as stack:
            engine.plan(*[hang(after=3)] * 3)
            cut = [await stack.enter_async_context(served.opened(key, stream=True)) for _ in range(3)]
            assert [await wire.head() for wire in cut] == [200] * 3
            engine.always = answer(delay_s=0.02)
            assert (await served.chat(key)).status == 429
            load = [asyncio.create_task(client()) for _ in range(8)]
            await eventually(lambda: len(finished) >= 50)
            (worker,) = served.workers()
            os.kill(worker, signal.SIGKILL)
            killed.set()
            ends = await asyncio.gather(*load, return_exceptions=True)
            assert all(end is None or isinstance(end, OSError | asyncio.IncompleteReadError) for end in ends), ends
            lost = {wire.headers["x-request-id"] for wire in cut}
        await eventually(lambda: served.workers() not in ([], [worker]), 10)

        async def settled() -> bool:
            found = outcomes(served)
            return lost | finished <= found.keys()

        await becomes(settled, wanted=True)
        found = outcomes(served)
        assert {found[one] for one in finished} == {"ok"}
        assert {found[one] for one in lost} == {"lost"}
        assert set(found.values()) == {"ok", "lost", "limited"}
        of_key = f"outcome = 'lost' AND key_id = '{record.id}'"
        charged = rows(served, f"SELECT prompt, completion FROM usage WHERE {of_key}")
        assert len(charged) == 3 and all(prompt > 0 and completion == 0 for prompt, completion in charged)
        if store == "redis":
            assert await count(1, served, key) == [429], "what the dead worker held is held for the time of a lease"
            with redis_server.client() as client_:
                for hold in client_.zrange(LEASES, 0, -1):
                    client_.zincrby(LEASES, -60, cast(bytes, hold))  # a minute passes
        engine.plan(*[answer(delay_s=0.5)] * 3)
        assert sorted(await count(4, served, key)) == [200, 200, 200, 429]
        assert await served.end() == 0


async def test_an_end_with_open_calls(tmp_path: Path, postgres: Postgres, redis_server: RedisServer) -> None:
    redis_server.flush()
    database = postgres.new_database()
    stores = {"durable": postgres.url(database), "volatile": redis_server.url}
    async with (
        EngineDouble() as engine,
        serve(engine, tmp_path, stores=stores, server={"workers": 2, "shutdown_grace_s": 0.5}) as served,
    ):
        key, _ = await new_key(served, concurrent_requests=9, tokens_per_minute=100_000, requests_per_day=100)
        engine.always = answer(delay_s=0.01)
        assert await count(5, served, key) == [200] * 5
        engine.always = hang(after=3)
        async with AsyncExitStack() as stack:
            open_ = [await stack.enter_async_context(served.opened(key, stream=True, max_tokens=100)) for _ in range(6)]
            assert [await wire.head() for wire in open_] == [200] * 6
            assert await served.end() == 0
        with redis_server.client() as client:
            assert client.zcard(LEASES) == 0, "none of them holds anything"
        assert used(postgres, database) == 11, "all of it was delivered before the end"
        ends = postgres.sql("SELECT outcome, count(*) FROM usage GROUP BY 1 ORDER BY 1", database)
        assert ends.split() == ["ok|5", "shutting_down|6"]
        assert list((served.home / "var/spool").iterdir()) == []
