"""A backup taken while calls come in, restored for another Portico: keys work, usage is whole, the log verifies."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.processes import Served, serve
from tests.behaviour.serving import eventually
from tests.behaviour.tenant_processes import new_key
from tests.services.durable import Backend, PostgresBackend, SqliteBackend
from tests.services.postgres import Postgres, running

# In one statement, and so of one moment: calls and tokens by themselves, and as the sums by hour have them.
OF_KEY = (
    "SELECT (SELECT count(*) FROM usage WHERE key_id = '{0}'), (SELECT sum(prompt) FROM usage WHERE key_id = '{0}'),"
    " (SELECT sum(requests) FROM usage_hours WHERE key_id = '{0}'),"
    " (SELECT sum(prompt) FROM usage_hours WHERE key_id = '{0}')"
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@dataclass(frozen=True)
class Case:
    """A database that is served, how to copy it as docs/operations.md says, and what the copy becomes."""

    backend: Backend
    back_up: Callable[[], object]
    restore: Callable[[], Backend]


@pytest.fixture(params=["sqlite", "postgres"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if request.param == "sqlite":
        return of_sqlite(tmp_path)
    return of_postgres(request.getfixturevalue("postgres"))


def of_sqlite(tmp_path: Path) -> Case:
    first, second = SqliteBackend(tmp_path / "first/home"), SqliteBackend(tmp_path / "second/home")
    copy = tmp_path / "portico.db"

    def back_up() -> None:
        """What `.backup` of the command sqlite3 does."""
        with closing(sqlite3.connect(first.file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)

    def restore() -> Backend:
        second.file.parent.mkdir(parents=True)
        copy.rename(second.file)
        return second

    return Case(first, back_up, restore)


def of_postgres(server: Postgres) -> Case:
    first, second = (PostgresBackend(server, server.new_database()) for _ in range(2))
    way = ("--host=127.0.0.1", f"--port={server.port}", "--username=portico")
    file = f"{first.database}.dump"

    def restore() -> Backend:
        server.run("pg_restore", *way, "--exit-on-error", f"--dbname={second.database}", file)
        return second

    return Case(
        first,
        lambda: server.run("pg_dump", *way, "--format=custom", f"--file={file}", first.database),
        restore,
    )


async def ask_until(stop: asyncio.Event, served: Served, key: str) -> int:
    """One call after another; how many were answered."""
    answered = 0
    while not stop.is_set():
        reply = await served.chat(key)
        assert reply.status == 200, reply.body
        answered += 1
    return answered


def counted(backend: Backend, key_id: str) -> int:
    """Calls of a key in the usage, of which there must be as many, and as many tokens, in the sums by hour."""
    calls, prompt, summed, summed_prompt = backend.sql(OF_KEY.format(key_id)).split("|")
    if calls == "0":
        return 0  # and the sums are null
    assert (calls, prompt) == (summed, summed_prompt)
    return int(calls)


def test_a_backup_under_load_can_be_restored(case: Case, tmp_path: Path) -> None:
    uvloop.run(backed_up_and_restored(case, tmp_path))  # two starts take longer than other tests may, where it is busy


async def backed_up_and_restored(case: Case, tmp_path: Path) -> None:
    async with EngineDouble() as engine:
        async with serve(engine, tmp_path / "first", stores={"durable": case.backend.url}) as served:
            key, record = await new_key(served)
            stop = asyncio.Event()
            load = [asyncio.create_task(ask_until(stop, served, key)) for _ in range(4)]
            await eventually(lambda: counted(case.backend, record.id) > 0, 10)
            before = counted(case.backend, record.id)
            await asyncio.to_thread(case.back_up)
            between = sum(1 for _ in engine.calls)
            await asyncio.sleep(0.3)
            stop.set()
            answered = sum(await asyncio.gather(*load))
            assert await served.end() == 0
        assert counted(case.backend, record.id) == answered

        restored = await asyncio.to_thread(case.restore)
        kept = counted(restored, record.id)
        assert before <= kept <= between, "what was delivered when the copy was made, and nothing of later"
        async with serve(engine, tmp_path / "second", stores={"durable": restored.url}) as served:
            assert (await served.chat(key)).status == 200
            assert (await served.portico("audit", "verify")).status == 0
            assert await served.end() == 0
        assert counted(restored, record.id) == kept + 1
