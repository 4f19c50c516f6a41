"""A change of the directory: one transaction with its audit records, one after the other among all processes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.chain import hash_of
from server.stores.records import Actor, AuditRecord
from server.stores.sql.codec import audit_row, plain
from server.stores.sql.database import Database
from server.stores.sql.tables import audit, state

CHANNEL = "portico_directory"
"""PostgreSQL's channel on which every change is notified, when it is committed."""


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

    def chained(self, seq: int, last: str) -> list[AuditRecord]:
        """The records, linked to the one of number `seq` and hash `last`."""
        links: list[AuditRecord] = []
        for number, record in enumerate(self.records, seq + 1):
            link = msgspec.structs.replace(record, seq=number, previous=last)
            last = hash_of(link, last)
            links.append(msgspec.structs.replace(link, hash=last))
        return links


class Part:
    """What the parts of the store share. `clock` gives Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._watchers: set[Callable[[], None]] = set()  # called by what this process changes

    @asynccontextmanager
    async def _change(self, actor: Actor) -> AsyncGenerator[Change]:
        """Locks the state's row first, so whatever is read in it stays true until it is committed."""
        async with self._database.writing() as connection:
            head = (await connection.execute(select(state.c.audit_seq, state.c.audit_hash).with_for_update())).one()
            change = Change(connection, actor, int(self._clock()))
            yield change
            links = change.chained(head.audit_seq, head.audit_hash)
            if links:
                await connection.execute(insert(audit), [audit_row(link) for link in links])
                await connection.execute(update(state).values(audit_seq=links[-1].seq, audit_hash=links[-1].hash))
                if not self._database.is_sqlite:
                    await connection.execute(select(func.pg_notify(CHANNEL, str(links[-1].seq))))
        if links:
            for changed in tuple(self._watchers):
                changed()
