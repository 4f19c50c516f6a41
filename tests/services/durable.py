"""The durable store's two backends, as tests see them: a URL, and a way in past Portico."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

from tests.services.postgres import Postgres


class Backend(Protocol):
    url: str
    home: Path

    def sql(self, statement: str) -> str:
        """Done by somebody with the database's own tools; the values of the answer, joined by |."""
        ...


class SqliteBackend:
    url = "sqlite:///var/portico.db"

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "var/portico.db"

    def sql(self, statement: str) -> str:
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            return "\n".join("|".join(map(str, row)) for row in connection.execute(statement).fetchall())


class PostgresBackend:
    home = Path("/nonexistent")  # it has no business there

    def __init__(self, server: Postgres, database: str) -> None:
        self.server = server
        self.database = database
        self.url = server.url(database)

    def empty(self) -> None:
        """As `open_durable` leaves a new one."""
        tables = (
            "projects, service_accounts, keys, admin_keys, audit, decisions, usage, usage_hours, duties, responses, "
            "response_events, conversations, conversation_items, files, batches"
        )
        start = "seq = 0, hash = repeat('0', 64), cut_seq = 0, cut_hash = repeat('0', 64)"
        self.sql(f"TRUNCATE {tables} RESTART IDENTITY; UPDATE chains SET {start}")

    def sql(self, statement: str) -> str:
        return self.server.sql(statement, self.database)
