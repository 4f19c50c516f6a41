"""Starts that cannot succeed end in one line; commands beside a service that runs."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from shutil import copyfile

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.processes import Served, serve, started
from tests.behaviour.serving import eventually, new_database
from tests.behaviour.tenant_processes import becomes, new_key
from tests.services.postgres import PASSWORD, Postgres, running

IMPATIENT = ("-c", "import sys; from server import cli; from server.commands import serve; "
             "serve.DATABASE_S = 1; serve.DATABASE_POLL_S = 0.2; sys.exit(cli.main())")  # fmt: skip


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


async def refused(served: Served) -> str:
    """The one line with which it ended."""
    assert await served.ended() == 1
    *before, line = served.screen().splitlines()
    assert [one for one in before if not one.startswith("Engine ")] == [], before
    assert line.startswith("portico: ")
    assert served.log() == ""
    return line


async def test_a_newer_schema(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    file = tmp_path / "home/newer.db"
    copyfile((await asyncio.to_thread(new_database))[0], file)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE portico_version SET version_num = '9999'")
    async with (
        EngineDouble() as engine,
        started(engine, tmp_path, stores={"durable": "sqlite:///newer.db"}) as served,
    ):
        line = await refused(served)
        assert "newer Portico" in line and "9999" in line


async def test_a_spool_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a folder")
    stores = {"spool": str(tmp_path / "taken/spool")}
    async with EngineDouble() as engine, started(engine, tmp_path, stores=stores) as served:
        line = await refused(served)
        assert "spool" in line and "not a directory" in line


async def test_a_wrong_password(tmp_path: Path, postgres: Postgres) -> None:
    stores = {"durable": postgres.url(password="hunter-two-two")}
    async with EngineDouble() as engine, started(engine, tmp_path, stores=stores) as served:
        line = await refused(served)
        assert "password authentication failed" in line
        assert "hunter" not in line


async def test_a_database_that_does_not_come(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url().replace(f":{postgres.port}/", ":1/")
    async with EngineDouble() as engine, started(engine, tmp_path, IMPATIENT, stores={"durable": url}) as served:
        assert await served.ended() == 1
        waiting, line = served.screen().splitlines()
        assert waiting.startswith("Waiting for the database, 1 s at most: ")
        assert line.startswith("portico: ") and "127.0.0.1:1/" in line
        assert PASSWORD not in waiting + line


async def test_status(tmp_path: Path) -> None:
    metrics, crowded = {"token": "show-me"}, {"max_in_flight": 1}
    async with EngineDouble() as engine, serve(engine, tmp_path, metrics=metrics, engine=crowded) as served:
        engine.always = hang(after=3)
        key, record = await new_key(served)
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(served.opened(key, stream=True))

            async def waiting() -> int:
                said = await served.portico("status", "--json")
                assert (said.status, said.err) == (0, "")
                (worker,) = json.loads(said.out)["workers"]
                return sum(one["waiting"] for one in worker["queue"])

            await becomes(waiting, 2)
            said = await served.portico("status")
            assert (said.status, said.err) == (0, "")
            lines = said.out.splitlines()
            assert "engine     one: up, 1 of 1 in flight" in lines
            assert "queue      2 calls wait" in lines
            assert "usage      0 records not in the database yet" in lines
            (line,) = [line.split() for line in lines if record.project_id in line]
            assert (line[:4], line[6]) == (["standard", record.project_id, "1", "2"], "1")
            assert key not in said.out and "show-me" not in said.out
            file = tmp_path / "portico.yaml"
            file.write_text(file.read_text().replace("show-me", "wrong"))
            said = await served.portico("status")
            assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
            assert "401" in said.err and "metrics.token" in said.err
        assert await served.end() == 0
        said = await served.portico("status")
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
        assert "not running" in said.err


async def test_usage_and_audit_beside_the_service(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path) as served:
        key, record = await new_key(served)

        engine.always = answer(delay_s=0.05)
        enough = asyncio.Event()

        async def load() -> int:
            calls = 0
            while not enough.is_set():
                assert (await served.chat(key)).status == 200
                calls += 1
            return calls

        loads = [asyncio.create_task(load()) for _ in range(2)]
        for _ in range(2):
            said = await served.portico("audit", "verify")
            assert (said.status, said.out) == (0, "") and "intact" in said.err
            await new_key(served)
        await eventually(lambda: len(engine.calls) > 20)
        enough.set()
        calls = sum(await asyncio.gather(*loads))

        async def requests() -> int:
            said = await served.portico("usage", "--by", "key", "--json")
            assert said.status == 0, said.err
            return sum(row["requests"] for row in json.loads(said.out) if row["key_id"] == record.id)

        await becomes(requests, calls)
        assert await served.end() == 0
