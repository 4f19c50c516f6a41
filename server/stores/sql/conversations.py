"""Conversations: a row each, and one for each of their items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, ScalarSelect, Select, delete, insert, literal, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import NotThere
from server.stores.responses import MOST_ITEMS, ConversationFull, ConversationRecord, Item, ItemTaken, NoItem
from server.stores.sql.change import Part
from server.stores.sql.items import append, item_place, known
from server.stores.sql.pages import count, found
from server.stores.sql.state_codec import CONVERSATION, sealed_metadata, to_conversation
from server.stores.sql.state_tables import conversation_items, conversations

WHAT = "conversation"
_ANYWHERE = literal(0)


class Conversations(Part):
    """See `stores.responses.ConversationStore`. Whoever changes the items of one locks its row first."""

    async def create_conversation(self, record: ConversationRecord, items: Sequence[Item]) -> None:
        row = {
            "id": record.id,
            "project_id": record.project_id,
            "created_at": record.created_at,
            "used_at": record.created_at,
            "item_count": 0,
            "last": 0,
            "metadata": sealed_metadata(record, self._sealing),
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(conversations).values(row))
            await self._add(connection, record.project_id, record.id, items)

    async def conversation(self, project_id: str, conversation_id: str) -> ConversationRecord:
        async with self._database.reading() as connection:
            row = await found(connection, _of(project_id, conversation_id), WHAT)
        return to_conversation(row, self._sealing)

    async def update_conversation(
        self, project_id: str, conversation_id: str, metadata: dict[str, str]
    ) -> ConversationRecord:
        async with self._database.writing() as connection:
            row = await found(connection, _of(project_id, conversation_id).with_for_update(), WHAT)
            its = ConversationRecord(conversation_id, project_id, row["created_at"], metadata, row["item_count"])
            new = {"metadata": sealed_metadata(its, self._sealing)}
            await connection.execute(update(conversations).where(conversations.c.id == conversation_id).values(new))
        return its

    async def delete_conversation(self, project_id: str, conversation_id: str) -> None:
        async with self._database.writing() as connection:
            its = delete(conversations).where(_one_of(project_id, conversation_id))
            if not await count(connection, its):
                raise NotThere(f"there is no {WHAT} with this id")

    async def add_items(self, project_id: str, conversation_id: str, items: Sequence[Item]) -> None:
        async with self._database.writing() as connection:
            await self._add(connection, project_id, conversation_id, items)

    async def items(
        self,
        project_id: str,
        conversation_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = True,
    ) -> list[Item]:
        last = _ANYWHERE if after is None else _position(conversation_id, after)
        position, newest = conversation_items.c.position, newest_first and after is None
        beyond = true() if newest else position < last if newest_first else position > last
        return await self._items(project_id, conversation_id, beyond, last, limit, newest_first=newest_first)

    async def item(self, project_id: str, conversation_id: str, item_id: str) -> Item:
        for item in await self._items(project_id, conversation_id, conversation_items.c.id == item_id):
            return item
        raise NoItem()

    async def conversation_history(self, project_id: str, conversation_id: str) -> list[Item]:
        return await self._items(project_id, conversation_id, true())

    async def delete_item(self, project_id: str, conversation_id: str, item_id: str) -> ConversationRecord:
        of = conversation_items.c
        async with self._database.writing() as connection:
            row = await found(connection, _of(project_id, conversation_id).with_for_update(), WHAT)
            deleting = delete(conversation_items).where(of.conversation_id == conversation_id, of.id == item_id)
            if not await count(connection, deleting):
                raise NoItem()
            fewer = update(conversations).where(conversations.c.id == conversation_id)
            await connection.execute(fewer.values(item_count=row["item_count"] - 1))
        before = to_conversation(row, self._sealing)
        return msgspec.structs.replace(before, items=before.items - 1)

    async def _items(
        self,
        project_id: str,
        conversation_id: str,
        which: ColumnElement[bool],
        last: ColumnElement[int] | ScalarSelect[int] = _ANYWHERE,
        limit: int | None = None,
        *,
        newest_first: bool = False,
    ) -> list[Item]:
        """One query: a row for each item, or one without an item where there are none. Raises `NotThere` (conversation,
        and the item that `last` is the position of).
        """
        of = conversation_items.c
        some = select(of.id, of.body, of.position).where(of.conversation_id == conversation_id, which)
        page = some.order_by(of.position.desc() if newest_first else of.position).limit(limit).subquery()
        query = (
            select(page.c.id, page.c.body, last.label("last"))
            .select_from(conversations.outerjoin(page, true()))
            .where(_one_of(project_id, conversation_id))
            .order_by(page.c.position.desc() if newest_first else page.c.position)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        if not rows:
            raise NotThere(f"there is no {WHAT} with this id")
        if rows[0]["last"] is None:
            raise NoItem()
        return [
            Item(row["id"], self._sealing.unseal(row["body"], item_place(conversation_id, row["id"])))
            for row in rows
            if row["id"] is not None
        ]

    async def _add(
        self, connection: AsyncConnection, project_id: str, conversation_id: str, items: Sequence[Item]
    ) -> None:
        """Raises `NotThere`, `ItemTaken`, `ConversationFull`."""
        row = await found(connection, _of(project_id, conversation_id).with_for_update(), WHAT)
        there = await known(connection, conversation_id, [one.id for one in items])
        for one in items:
            if one.id in there:
                raise ItemTaken(one.id)
            there.add(one.id)
        if row["item_count"] + len(items) > MOST_ITEMS:
            raise ConversationFull(f"a conversation has at most {MOST_ITEMS} items; begin another one")
        await append(connection, conversation_id, row, items, self._sealing, int(self._clock()))


def _one_of(project_id: str, conversation_id: str) -> ColumnElement[bool]:
    return (conversations.c.id == conversation_id) & (conversations.c.project_id == project_id)


def _of(project_id: str, conversation_id: str) -> Select[Any]:
    """What a record is made of, and what adding to it needs."""
    return select(*CONVERSATION, conversations.c.last).where(_one_of(project_id, conversation_id))


def _position(conversation_id: str, item_id: str) -> ScalarSelect[int]:
    """Null if the conversation does not have it."""
    of = conversation_items.c
    return select(of.position).where(of.conversation_id == conversation_id, of.id == item_id).scalar_subquery()
