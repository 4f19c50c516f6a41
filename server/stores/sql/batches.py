"""Batches. What no query looks into is JSON in a text column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Double,
    Index,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import NotAllowed
from server.stores.batches import OPEN, BatchRecord, Change
from server.stores.sql.change import Part
from server.stores.sql.codec import from_json, to_json
from server.stores.sql.pages import found
from server.stores.sql.tables import METADATA, numbered

batches = Table(
    "batches",
    METADATA,
    numbered(),
    Column("id", String(64), nullable=False, unique=True),
    Column("project_id", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("owner", String(64)),  # the process that has it, until then
    Column("owned_until", Double, nullable=False),  # Unix seconds; 0: nobody ever had it
    Column("record", Text, nullable=False),
    Index("ix_batches_project_id_number", "project_id", "number"),
    Index("ix_batches_status_number", "status", "number"),
)


class Batches(Part):
    """See `stores.batches.BatchStore`."""

    async def add_batch(self, record: BatchRecord, most_open: int) -> None:
        async with self._database.writing() as connection:
            await self._alone(connection, f"portico batches {record.project_id}")
            there = select(func.count()).where(batches.c.project_id == record.project_id, batches.c.status.in_(OPEN))
            if (await connection.execute(there)).scalar_one() >= most_open:
                raise NotAllowed(f"the project has {most_open} batches that have not ended, as many as it may")
            row = {"id": record.id, "project_id": record.project_id, "owned_until": 0.0, **_changeable(record)}
            await connection.execute(insert(batches).values(row))

    async def batch(self, project_id: str, batch_id: str) -> BatchRecord:
        async with self._database.reading() as connection:
            return _record(await found(connection, _of(project_id, batch_id), "batch"))

    async def batches(self, project_id: str, *, after: str | None = None, limit: int = 100) -> list[BatchRecord]:
        number = batches.c.number
        query = select(batches).where(batches.c.project_id == project_id).order_by(number.desc()).limit(limit)
        if after is not None:
            last = select(number).where(batches.c.id == after, batches.c.project_id == project_id)
            query = query.where(number < last.scalar_subquery())
        async with self._database.reading() as connection:
            return [_record(row) for row in (await connection.execute(query)).mappings()]

    async def change_batch(self, project_id: str, batch_id: str, change: Change) -> BatchRecord:
        async with self._database.writing() as connection:
            row = await found(connection, _of(project_id, batch_id).with_for_update(), "batch")
            return await _changed(connection, row, change, {})

    async def claim_batch(self, owner: str, for_s: float) -> BatchRecord | None:
        now = self._clock()
        mine = batches.alias()
        running = (
            select(func.count())
            .where(mine.c.project_id == batches.c.project_id, mine.c.status.in_(OPEN), mine.c.owned_until > now)
            .scalar_subquery()
        )
        free = select(batches).where(batches.c.status.in_(OPEN), batches.c.owned_until <= now)
        free = free.order_by(running, batches.c.owned_until, batches.c.number).limit(1)
        async with self._database.reading() as connection:  # most often there is none: no need to be the writer
            first = (await connection.execute(free)).mappings().first()
        if first is None:
            return None
        taking = update(batches).where(batches.c.id == first["id"], batches.c.owned_until <= now)
        async with self._database.writing() as connection:
            taken: Any = await connection.execute(taking.values(owner=owner, owned_until=now + for_s))
            if taken.rowcount == 0:  # another one was quicker
                return None
            return _record(await found(connection, select(batches).where(batches.c.id == first["id"]), "batch"))

    async def keep_batch(self, batch_id: str, owner: str, for_s: float, change: Change) -> BatchRecord:
        now = self._clock()
        query = select(batches).where(batches.c.id == batch_id).with_for_update()
        async with self._database.writing() as connection:
            row = await found(connection, query, "batch")
            if row["owner"] != owner or row["owned_until"] <= now:
                raise NotAllowed("the batch has another owner")
            owned: dict[str, object] = {"owned_until": now + for_s} if for_s else {"owner": None, "owned_until": now}
            return await _changed(connection, row, change, owned)

    async def open_batches(self, batch_ids: Sequence[str]) -> set[str]:
        query = select(batches.c.id).where(batches.c.id.in_(batch_ids), batches.c.status.in_(OPEN))
        async with self._database.reading() as connection:
            return set((await connection.execute(query)).scalars())


async def _changed(
    connection: AsyncConnection, row: RowMapping, change: Change, more: dict[str, object]
) -> BatchRecord:
    before = _record(row)
    after = change(before)
    new = more if after == before else {**_changeable(after), **more}
    if new:
        await connection.execute(update(batches).where(batches.c.id == before.id).values(new))
    return after


def _of(project_id: str, batch_id: str) -> Select[Any]:
    return select(batches).where(batches.c.project_id == project_id, batches.c.id == batch_id)


def _changeable(record: BatchRecord) -> dict[str, object]:
    return {"status": record.status, "record": to_json(record)}


def _record(row: RowMapping) -> BatchRecord:
    return from_json(row["record"], BatchRecord)
