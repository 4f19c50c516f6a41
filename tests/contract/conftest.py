"""One suite per protocol of the stores, run on every backend. Tests are coroutines, and get their stores opened."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import uvloop

from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore
from tests.services.durable import Backend, PostgresBackend, SqliteBackend
from tests.services.postgres import Postgres, running

LONGEST_TEST_S = 60


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests, with asynchronous context managers among their arguments entered."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None

    async def run() -> None:
        async with AsyncExitStack() as stack:
            arguments: dict[str, Any] = {}
            for name in inspect.signature(pyfuncitem.obj).parameters:
                value = pyfuncitem.funcargs[name]
                entered = isinstance(value, AbstractAsyncContextManager)
                arguments[name] = await stack.enter_async_context(value) if entered else value
            await pyfuncitem.obj(**arguments)

    uvloop.run(asyncio.wait_for(run(), LONGEST_TEST_S))
    return True


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests that leave it running."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A migrated database to copy: quicker than migrating one for each test."""
    name = postgres.new_database()

    async def migrate() -> None:
        store = await open_durable(postgres.url(name), PostgresBackend.home)
        await store.close()

    asyncio.run(migrate())
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Any) -> Backend:
    """A migrated database without a record."""
    if request.param == "sqlite":
        return SqliteBackend(tmp_path)
    server: Postgres = request.getfixturevalue("postgres")
    return PostgresBackend(server, server.new_database(request.getfixturevalue("template")))


@pytest.fixture
def store(backend: Backend) -> AbstractAsyncContextManager[SqlStore]:
    return opened(backend)


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[SqlStore]:
    one = await open_durable(backend.url, backend.home)
    try:
        yield one
    finally:
        await one.close()
