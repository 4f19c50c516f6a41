"""Removing responses and conversations that are old."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Column, ColumnElement, delete, select

from server.stores.sql.change import Part
from server.stores.sql.pages import count
from server.stores.sql.state_tables import conversations, responses


class StateRetention(Part):
    """See `stores.responses.StateRetention`."""

    async def drop_responses(
        self, before: int, limit: int, *, project_id: str | None = None, but: Collection[str] = ()
    ) -> int:
        of = responses.c
        old = (
            select(of.id)
            .where(of.created_at < before, _whose(of.project_id, project_id, but))
            .order_by(of.created_at)
            .limit(limit)
        )
        async with self._database.writing() as connection:
            return await count(connection, delete(responses).where(of.id.in_(old)))

    async def drop_conversations(
        self, before: int, limit: int, *, project_id: str | None = None, but: Collection[str] = ()
    ) -> int:
        of = conversations.c
        oldest = (
            select(of.id, of.item_count)
            .where(of.used_at < before, _whose(of.project_id, project_id, but))
            .order_by(of.used_at)
            .limit(limit)
        )
        async with self._database.writing() as connection:
            ids: list[str] = []
            room = limit
            for row in (await connection.execute(oldest)).mappings():
                room -= row["item_count"]
                if ids and room < 0:
                    break
                ids.append(row["id"])
            if not ids:
                return 0
            return await count(connection, delete(conversations).where(of.id.in_(ids), of.used_at < before))


def _whose(column: Column[str], project_id: str | None, but: Collection[str]) -> ColumnElement[bool]:
    return column.not_in(but) if project_id is None else column == project_id
