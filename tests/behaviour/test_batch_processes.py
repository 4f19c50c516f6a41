"""Batches over real processes: killed in the middle, several workers, a database that goes and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.behaviour.batches import all_results, chat_line, created, names, until
from tests.behaviour.engine_double import EngineDouble, Exchange, Script, answer, error
from tests.behaviour.processes import Served, serve
from tests.behaviour.serving import KEY, MODEL, eventually
from tests.services.postgres import Postgres, running

NUMBER = 60
LINES = [chat_line(f"r{number}") for number in range(NUMBER)]


@asynccontextmanager
async def client_of(served: Served) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key=KEY, max_retries=5) as client:
        yield client


def hold_runs_out(served: Served) -> None:
    """That of a dead process."""
    with closing(sqlite3.connect(served.home / "var/portico.db", isolation_level=None)) as connection:
        assert connection.execute("UPDATE batches SET owned_until = 0 WHERE owned_until > 0").rowcount == 1


async def killed_amid(served: Served, engine: EngineDouble) -> None:
    """The worker, with a third of the lines asked."""
    await eventually(lambda: len(engine.calls) >= 20)
    (worker,) = served.workers()
    os.kill(worker, signal.SIGKILL)
    await eventually(lambda: worker not in served.workers())
    hold_runs_out(served)


def paced() -> Script:
    """Answers that take a little; every tenth line is refused."""

    async def script(exchange: Exchange) -> None:
        name = exchange.call.json["messages"][0]["content"]
        await asyncio.sleep(0.05)
        if name.endswith("0."):
            await error(400, "no")(exchange)
        else:
            await answer(f"That was {name}")(exchange)

    return script


def check(found: list[dict[str, Any]]) -> None:
    """Each line has one result, and the one that is its own."""
    assert names(found) == sorted(f"r{number}" for number in range(NUMBER))
    for one in found:
        response = one["response"]
        name = str(one["custom_id"])
        assert response["status_code"] == (400 if name.endswith("0") else 200)
        if response["status_code"] == 200:
            assert response["body"]["choices"][0]["message"]["content"] == f"That was Say {name}."


def response_line(number: int) -> dict[str, Any]:
    asked = {"model": MODEL, "input": f"Say r{number}."}
    return {"custom_id": f"r{number}", "method": "POST", "url": "/v1/responses", "body": asked}


async def test_lines_of_responses_over_a_kill(tmp_path: Path) -> None:
    """Their answers are stored before they have results."""
    async with EngineDouble() as engine:
        engine.always = paced()
        async with serve(engine, tmp_path, batches={"max_in_flight": 4}) as served, client_of(served) as client:
            batch = await created(client, [response_line(number) for number in range(NUMBER)], "/v1/responses")
            await killed_amid(served, engine)
            batch = await until(client, batch.id, "completed", within_s=25)
            found = await all_results(client, batch)
            assert names(found) == sorted(f"r{number}" for number in range(NUMBER))
            answered = [one["response"]["body"] for one in found if one["response"]["status_code"] == 200]
            assert len(answered) == NUMBER - 6
            for one in answered[::10]:
                assert (await client.responses.retrieve(one["id"])).to_dict() == one
            assert await served.end() == 0


async def test_a_worker_killed_in_the_middle(tmp_path: Path) -> None:
    async with EngineDouble() as engine:
        engine.always = paced()
        async with serve(engine, tmp_path, batches={"max_in_flight": 4}) as served, client_of(served) as client:
            batch = await created(client, LINES)
            await killed_amid(served, engine)
            batch = await until(client, batch.id, "completed", within_s=25)
            check(await all_results(client, batch))
            assert batch.request_counts
            assert (batch.request_counts.completed, batch.request_counts.failed) == (NUMBER - 6, 6)
            assert len(engine.calls) <= NUMBER + 4, "what had a result was not asked again"
            assert await served.end() == 0


async def test_all_of_it_killed_and_started_again(tmp_path: Path) -> None:
    async with EngineDouble() as engine:
        engine.always = paced()
        async with serve(engine, tmp_path, batches={"max_in_flight": 4}) as served, client_of(served) as client:
            batch = await created(client, LINES)
            await eventually(lambda: len(engine.calls) >= 20)
            pids = [*served.workers(), served.process.pid]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            await served.process.wait()
            hold_runs_out(served)
            await served.start()
            await served.ready()
            batch = await until(client, batch.id, "completed", within_s=40)
            check(await all_results(client, batch))
            assert await served.end() == 0


async def test_a_gentle_end_hands_on_at_once(tmp_path: Path) -> None:
    async with EngineDouble() as engine:
        engine.always = paced()
        async with serve(engine, tmp_path, batches={"max_in_flight": 4}) as served, client_of(served) as client:
            batch = await created(client, LINES)
            await eventually(lambda: len(engine.calls) >= 20)
            assert await served.end() == 0
            await served.start()
            await served.ready()
            batch = await until(client, batch.id, "completed", within_s=25)
            check(await all_results(client, batch))
            assert len(engine.calls) == NUMBER, "lines in flight came to their end"
            assert await served.end() == 0


async def test_several_workers_run_each_batch_once(tmp_path: Path) -> None:
    async with (
        EngineDouble() as engine,
        serve(engine, tmp_path, server={"workers": 2}, batches={"running": 1}) as served,
        client_of(served) as client,
    ):
        engine.always = paced()
        batches = [await created(client, LINES) for _ in range(3)]
        for batch in batches:
            check(await all_results(client, await until(client, batch.id, "completed")))
        assert len(engine.calls) == 3 * NUMBER
        assert await served.end() == 0


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


async def test_the_database_goes_and_comes_back(tmp_path: Path, postgres: Postgres) -> None:
    stores = {"durable": postgres.url(postgres.new_database())}
    async with (
        EngineDouble() as engine,
        serve(engine, tmp_path, stores=stores, batches={"max_in_flight": 4}) as served,
        client_of(served) as client,
    ):
        engine.always = paced()
        batch = await created(client, LINES)
        await eventually(lambda: len(engine.calls) >= 20)
        await asyncio.to_thread(postgres.stop)
        reply = await served.request("GET", f"/v1/batches/{batch.id}")
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        await asyncio.sleep(1)
        await asyncio.to_thread(postgres.start)
        batch = await until(client, batch.id, "completed", within_s=25)
        check(await all_results(client, batch))
        assert await served.end() == 0
