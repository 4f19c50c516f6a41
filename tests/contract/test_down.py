"""A durable store that is stopped, frozen or locked: said in time, in one line, and over when it is over."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.stores.base import StoreDown
from server.stores.sql.database import TIMEOUT_S
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore, connect_durable
from tests.contract.state import a_conversation, a_response
from tests.contract.test_directory import ME, a_key
from tests.contract.test_ledger import DAY, T, a_call, total
from tests.services.durable import SqliteBackend
from tests.services.postgres import PASSWORD, Postgres, running


@pytest.fixture(scope="module")
def mortal() -> Iterator[Postgres]:
    """A server of this module's own, to be stopped."""
    with running() as server:
        yield server


async def down(work: Awaitable[object]) -> None:
    with pytest.raises(StoreDown) as error:
        await work
    assert "\n" not in str(error.value)
    assert PASSWORD not in str(error.value)


async def all_down(store: SqlStore) -> None:
    await asyncio.gather(
        down(store.find_key("lookup0000000001")),
        down(store.create_project("p", ME)),
        down(store.add_usage([a_call(1)])),
        down(store.usage(since=T, until=T + DAY, bucket_s=DAY)),
        down(store.verify_audit()),
        down(store.history("proj_1", "resp_1")),
        down(store.add_response(a_response(), [], [])),
        down(store.renew_responses("me", 60)),
        down(store.conversation_history("proj_1", "conv_1")),
        down(store.create_conversation(a_conversation(), [])),
        down(store.drop_responses(1, 1)),
    )


async def test_stopped(mortal: Postgres) -> None:
    store = await open_durable(mortal.url(mortal.new_database()), Path("/nonexistent"))
    project = await store.create_project("p", ME)
    await store.create_key(a_key(project.id), ME)
    heard = asyncio.Event()
    watching = asyncio.create_task(store.watch(heard.set))
    await heard.wait()
    mortal.stop()
    await all_down(store)
    await down(open_durable(mortal.url(), Path("/nonexistent")))
    heard.clear()
    mortal.start()
    assert await store.find_key("lookup0000000001") == (a_key(project.id), project), "connections are made anew"
    await store.add_usage([a_call(1)])
    assert await store.usage(since=T, until=T + DAY, bucket_s=DAY) == [total(T, 1)], "what failed was not counted"
    await heard.wait()  # it listens again, and says so
    heard.clear()
    await store.revoke_key(None, "key_1", ME)
    await heard.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await store.close()


async def test_frozen(mortal: Postgres) -> None:
    """Connections are open and nobody answers: every operation is over when its time is."""
    store = await open_durable(mortal.url(mortal.new_database()), Path("/nonexistent"), timeout_s=2)
    project = await store.create_project("p", ME)
    with mortal.frozen():
        await asyncio.wait_for(asyncio.gather(all_down(store), *(down(store.projects()) for _ in range(20))), 40)
    assert await store.projects() == [project]
    await store.close()


async def test_somebody_holds_the_lock(mortal: Postgres) -> None:
    name = mortal.new_database()
    store = await open_durable(mortal.url(name), Path("/nonexistent"))
    hasty = await connect_durable(mortal.url(name), Path("/nonexistent"))
    async with store._change(ME):
        hasty._database.timeout_s = 0.5
        await down(hasty.create_project("p", ME))
        hasty._database.timeout_s = TIMEOUT_S
        assert await hasty.projects() == [], "who only reads does not wait"
        await hasty.add_usage([a_call(1)])
    await hasty.create_project("p", ME)
    assert await store.verify_audit() is None
    await hasty.close()
    await store.close()


async def test_locked_file(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path)
    store = await open_durable(backend.url, backend.home, timeout_s=0.5)
    with closing(sqlite3.connect(backend.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await asyncio.gather(down(store.create_project("p", ME)), down(store.add_usage([a_call(1)])))
        assert await store.projects() == []
        other.execute("COMMIT")
    await store.create_project("p", ME)
    assert len(await store.audit()) == 1
    await store.close()


async def test_cancelled_in_the_middle(store: SqlStore) -> None:
    """Whoever asks may leave at any time; the store goes on, and nothing is half done."""
    for after in range(12):
        change = asyncio.create_task(store.create_project(f"p{after}", ME))
        for _ in range(after):
            await asyncio.sleep(0)
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)
    assert len(await store.projects()) == len(await store.audit(limit=100))
    await store.create_project("last", ME)
    assert await store.verify_audit() is None
