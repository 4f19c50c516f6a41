"""Connections and transactions, with a time limit on each and the driver's errors translated."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Table, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from server.stores.sql.driver import connect
from server.stores.sql.errors import translated
from server.stores.sql.place import Place, make_file
from server.stores.sql.rows import RowWriter, set_up_sqlite

TIMEOUT_S = 5.0
POOL = 5  # connections of PostgreSQL that are kept; as many again under load
READERS = 3  # connections of SQLite, each a thread; one of them may write


class Database:
    """One database and its connections. All methods raise `StoreDown` and `StoreError`."""

    def __init__(self, place: Place, timeout_s: float = TIMEOUT_S) -> None:
        self.place = place
        self.name = place.name
        self.timeout_s = timeout_s
        self._writers = asyncio.Lock()  # SQLite has one writer, and would have the next ones poll for their turn
        self._engine = _sqlite(place.file, timeout_s) if place.file else _postgresql(place.dsn or "", timeout_s)
        self._rows = RowWriter(place.file, timeout_s) if place.file else None

    @property
    def is_sqlite(self) -> bool:
        return self.place.file is not None

    @asynccontextmanager
    async def reading(self, *, one_state: bool = False) -> AsyncGenerator[AsyncConnection]:
        """With `one_state`, all queries see the same state of the database; one query does anyway."""
        with translated(self.name):
            async with asyncio.timeout(self.timeout_s), self._engine.connect() as connection:
                if one_state and not self.is_sqlite:  # SQLite's transactions always do
                    await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
                yield connection

    @asynccontextmanager
    async def writing(self, timeout_s: float | None = None) -> AsyncGenerator[AsyncConnection]:
        """A transaction that is committed at the end, or rolled back by an exception."""
        with translated(self.name):
            async with asyncio.timeout(timeout_s or self.timeout_s):
                if not self.is_sqlite:
                    async with self._engine.begin() as connection:
                        yield connection
                    return
                async with self._writers, self._engine.connect() as connection:
                    # Known before it begins: a reader that turns into a writer may be refused when another one wrote.
                    await connection.execution_options(portico_writes=True)
                    async with connection.begin():
                        yield connection

    async def write_rows(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """`work` in a transaction of SQLite (rows.py), which may be committed though we gave up waiting."""
        if self._rows is None:
            raise ValueError(f"{self.name} is no SQLite database")
        with translated(self.name):
            async with asyncio.timeout(self.timeout_s), self._writers:
                await self._rows.write(work)

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """INSERT that knows ON CONFLICT, which is no standard."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def close(self) -> None:
        await self._engine.dispose()
        if self._rows is not None:
            await self._rows.close()


def _sqlite(file: Path, timeout_s: float) -> AsyncEngine:
    with translated(f"the database {file}"):
        make_file(file)
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(file)),  # a path may hold what means something in a URL
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=timeout_s,
    )

    def set_up(connection: Any, _record: Any) -> None:
        set_up_sqlite(connection, timeout_s)

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("portico_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _postgresql(dsn: str, timeout_s: float) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(dsn, timeout_s),
        pool_size=POOL,
        max_overflow=POOL,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        pool_recycle=1800,
    )
