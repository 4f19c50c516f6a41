"""Opening the durable store: its tables are brought up to date first, by one process at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores import migrations
from server.stores.base import StoreDown
from server.stores.sql.database import TIMEOUT_S, Database
from server.stores.sql.errors import translated
from server.stores.sql.place import place_of
from server.stores.sql.schema import refuse_newer, schema_of
from server.stores.sql.store import SqlStore
from server.stores.sql.tables import SCHEMA

MIGRATION_S = 600.0  # longest wait for another process that migrates, and longest migration
_LOCK = 0x506F727469636F  # PostgreSQL's advisory lock, any number that is ours


async def open_durable(url: str, home: Path, *, timeout_s: float = TIMEOUT_S) -> SqlStore:
    """Connect to the database, made or migrated where needed. `home`: what a relative path of SQLite is below.

    Raises `StoreDown`, `NewerSchema`, `StoreError` (URL).
    """
    database = Database(place_of(url, home), timeout_s)
    try:
        async with database.reading():  # says at once that it is not there
            pass
        await _migrate(database)
    except BaseException:
        await database.close()
        raise
    return SqlStore(database)


async def _migrate(database: Database) -> None:
    """All migrations are one transaction: what fails leaves the database as it was."""
    async with _alone(database), database.writing(MIGRATION_S) as connection:
        if not database.is_sqlite:
            await _lock(connection)
        schema = await schema_of(connection)
        refuse_newer(database.name, schema)
        if schema != SCHEMA:
            await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config(attributes={"connection": connection})
    folder = Path(migrations.__file__).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")


async def _lock(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


@asynccontextmanager
async def _alone(database: Database) -> AsyncGenerator[None]:
    """SQLite: a lock on a file beside the database, which its end frees however this process ends."""
    file = database.place.file
    if file is None:
        yield
        return
    with translated(database.name):
        descriptor = os.open(file.with_name(f"{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _locked(descriptor, database.name)
        yield
    finally:
        os.close(descriptor)


async def _locked(descriptor: int, name: str) -> None:
    try:
        async with asyncio.timeout(MIGRATION_S):
            while True:
                try:
                    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(0.05)
    except TimeoutError:
        raise StoreDown(f"{name} is being migrated by another process, for too long") from None
