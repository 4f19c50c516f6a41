"""Responses that have ended: one row each, chained by what they go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, delete, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import NotAllowed, NotThere
from server.stores.responses import (
    MOST_TURNS,
    OPEN,
    BrokenChain,
    ChainTooLong,
    Item,
    ResponseRecord,
)
from server.stores.sql.change import Part
from server.stores.sql.items import append_some, page_of
from server.stores.sql.pages import count, found
from server.stores.sql.state_codec import RESPONSE, items_of, sealed_response, to_response
from server.stores.sql.state_tables import responses

WHAT = "response"


class ResponsePart(Part):
    async def _append(self, connection: AsyncConnection, record: ResponseRecord, items: Sequence[Item]) -> None:
        """To its conversation, if it has one that is still there."""
        if record.conversation_id is not None:
            now = int(self._clock())
            await append_some(connection, record.project_id, record.conversation_id, items, self._sealing, now)


class Responses(ResponsePart):
    """See `stores.responses.ResponseStore`, its first half."""

    async def add_response(self, record: ResponseRecord, input: Sequence[Item], output: Sequence[Item]) -> None:
        row = sealed_response(record, self._sealing, input=input, output=output)
        adding = self._database.insert(responses).values(row).on_conflict_do_nothing(index_elements=["id"])
        async with self._database.writing() as connection:
            if await count(connection, adding):
                await self._append(connection, record, [*input, *output])

    async def response(self, project_id: str, response_id: str) -> ResponseRecord:
        async with self._database.reading() as connection:
            row = await found(connection, select(*RESPONSE).where(one_of(project_id, response_id)), WHAT)
        return to_response(row, self._sealing)

    async def input_items(
        self,
        project_id: str,
        response_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = True,
    ) -> list[Item]:
        query = select(responses.c.id, responses.c.input).where(one_of(project_id, response_id))
        async with self._database.reading() as connection:
            row = await found(connection, query, WHAT)
        return page_of(items_of(row, "input", self._sealing), after, limit, newest_first=newest_first)

    async def history(self, project_id: str, response_id: str) -> list[Item]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(_chain(project_id, response_id))).mappings().all()
        if not rows:
            raise no_response()
        _check_chain(rows)
        return [item for row in rows for column in ("input", "output") for item in items_of(row, column, self._sealing)]

    async def delete_response(self, project_id: str, response_id: str) -> None:
        async with self._database.writing() as connection:
            if not await count(connection, delete(responses).where(one_of(project_id, response_id))):
                raise no_response()


def no_response() -> NotThere:
    return NotThere(f"there is no {WHAT} with this id")


def one_of(project_id: str, response_id: str) -> ColumnElement[bool]:
    return (responses.c.id == response_id) & (responses.c.project_id == project_id)


def _chain(project_id: str, response_id: str) -> Select[*tuple[Any, ...]]:
    """The response and what it goes on from, the oldest first. Ids are followed first, and texts fetched then."""
    of = responses.c
    links = (
        select(of.id, of.previous_id, literal(1).label("depth"))
        .where(one_of(project_id, response_id))
        .cte("links", recursive=True)
    )
    further = (
        select(of.id, of.previous_id, links.c.depth + 1)
        .join(links, of.id == links.c.previous_id)
        .where(of.project_id == project_id, links.c.depth < MOST_TURNS)
    )
    links = links.union_all(further)
    columns = (of.id, of.status, of.previous_id, of.conversation_id, of.input, of.output)
    return select(*columns).join(links, of.id == links.c.id).order_by(links.c.depth.desc())


def _check_chain(rows: Sequence[RowMapping]) -> None:
    """Raises `BrokenChain`, `ChainTooLong`, `NotAllowed`."""
    before = rows[0]["previous_id"]
    if before is not None and len(rows) == MOST_TURNS:
        raise ChainTooLong(f"the response goes on from {MOST_TURNS} others; begin a new chain")
    if before is not None:
        raise BrokenChain(before)
    for row in rows:
        if row["status"] in OPEN:
            raise NotAllowed(f"the response {row['id']} is not finished yet")
        if row["conversation_id"] is not None:
            raise NotAllowed(
                f"the response {row['id']} was made in the conversation {row['conversation_id']}, which has its history"
            )
