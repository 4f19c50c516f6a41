"""One suite per protocol of the stores, run on every backend. Tests are coroutines, and get their stores opened."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from server.stores.bucket import Bucket
from server.stores.bucket_contents import BucketContents
from server.stores.files import Contents
from server.stores.folder import FolderContents
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore
from tests.services.durable import Backend, PostgresBackend, SqliteBackend
from tests.services.postgres import Postgres, running
from tests.services.redis import redis_server
from tests.services.s3 import S3Server, environment_of, s3_server

__all__ = ["redis_server", "s3_server"]

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
def migrated(postgres: Postgres) -> PostgresBackend:
    """One database for all tests: to empty it is quicker than to make another."""
    backend = PostgresBackend(postgres, postgres.new_database())

    async def migrate() -> None:
        await (await open_durable(backend.url, backend.home)).close()

    asyncio.run(migrate())
    return backend


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A database without a record."""
    if request.param == "sqlite":
        return SqliteBackend(tmp_path)
    one: PostgresBackend = request.getfixturevalue("migrated")
    one.empty()
    return one


@pytest.fixture
def store(backend: Backend) -> AbstractAsyncContextManager[SqlStore]:
    return opened(backend)


@pytest.fixture
def bucket_url(s3_server: S3Server) -> Iterator[str]:
    """A new one, and the environment that it needs."""
    with environment_of(s3_server):
        yield s3_server.bucket()


@pytest.fixture(params=["folder", "bucket"])
def contents(request: pytest.FixtureRequest, tmp_path: Path) -> Contents:
    """Empty."""
    if request.param == "folder":
        return FolderContents(tmp_path / "files")
    return BucketContents(Bucket(request.getfixturevalue("bucket_url"), tries=1), tmp_path / "files/scratch")


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[SqlStore]:
    one = await open_durable(backend.url, backend.home)
    try:
        yield one
    finally:
        await one.close()
