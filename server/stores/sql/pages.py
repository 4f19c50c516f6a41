"""What several parts ask: lists in pages, newest first; one row; how many rows a statement met."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Delete, Insert, RowMapping, Select, Table, Update, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import NotThere


async def page(
    connection: AsyncConnection, query: Select[Any], table: Table, after: str | None, limit: int
) -> list[RowMapping]:
    """At most `limit` rows of `query` over `table` that were made before the row `after`."""
    if after is not None:
        query = query.where(table.c.number < select(table.c.number).where(table.c.id == after).scalar_subquery())
    return list((await connection.execute(query.order_by(table.c.number.desc()).limit(limit))).mappings())


async def found(connection: AsyncConnection, query: Select[*tuple[Any, ...]], what: str) -> RowMapping:
    """The only row of `query`. Raises `NotThere`, which says that there is no `what` with this id."""
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotThere(f"there is no {what} with this id")
    return row


async def count(connection: AsyncConnection, statement: Insert | Delete | Update) -> int:
    """Does it; how many rows it met."""
    result: Any = await connection.execute(statement)
    return result.rowcount
