"""A change of the directory: one transaction with its audit records, one after the other among all processes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.records import Actor, AuditRecord
from server.stores.sealing import PLAIN, Sealing
from server.stores.sql.chained import append, ends_of
from server.stores.sql.codec import plain
from server.stores.sql.database import Database

CHANNEL = "portico_directory"
"""PostgreSQL's channel on which every change is notified, when it is committed."""
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")


class Change:
    """An open transaction. `note` what is done in it; the records are written at its end."""

    def __init__(self, connection: AsyncConnection, actor: Actor, at: int) -> None:
        self.connection = connection
        self.at = at
        self.records: list[AuditRecord] = []
        self._actor = actor

    def note(self, event: str, project_id: str | None, subject_id: str, details: dict[str, Any]) -> None:
        """`details` may hold what `codec.plain` knows, and nothing secret."""
        id_ = f"audit_log-{secrets.token_hex(12)}"
        self.records.append(
            AuditRecord(0, id_, self.at, event, self._actor, project_id, subject_id, plain(details), "", "")
        )


class Part:
    """What the parts of the store share. `clock` gives Unix seconds; `sealing` is for the text of users."""

    def __init__(self, database: Database, clock: Callable[[], float], sealing: Sealing = PLAIN) -> None:
        self._database = database
        self._clock = clock
        self._sealing = sealing
        self._watchers: set[Callable[[], None]] = set()  # called by what this process changes

    async def _alone(self, connection: AsyncConnection, what: str) -> None:
        """Until its transaction ends, no other one is that asks for the same. SQLite has one writer anyway."""
        if not self._database.is_sqlite:
            await connection.execute(_LOCK, {"what": what})

    @asynccontextmanager
    async def _change(self, actor: Actor) -> AsyncGenerator[Change]:
        """Locks the end of the audit log first, so whatever is read in it stays true until it is committed."""
        async with self._database.writing() as connection:
            ends = await ends_of(connection, "audit", lock=True)
            change = Change(connection, actor, int(self._clock()))
            yield change
            if change.records:
                seq = await append(connection, "audit", ends, change.records)
                if not self._database.is_sqlite:
                    await connection.execute(select(func.pg_notify(CHANNEL, str(seq))))
        if change.records:
            for changed in tuple(self._watchers):
                changed()
