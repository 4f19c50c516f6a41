"""Items of conversations: adding them in their order, and pages of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.responses import Item, NoItem
from server.stores.sealing import Sealing
from server.stores.sql.state_codec import place
from server.stores.sql.state_tables import conversation_items, conversations

_PAGE = 1000  # ids that are looked for at once


async def append_some(
    connection: AsyncConnection,
    project_id: str,
    conversation_id: str,
    items: Sequence[Item],
    sealing: Sealing,
    now: int,
) -> None:
    """Those that it does not have yet; none if there is no such conversation."""
    of = conversations.c
    its = select(of.item_count, of.last).where(of.id == conversation_id, of.project_id == project_id)
    row = (await connection.execute(its.with_for_update())).mappings().one_or_none()
    if row is not None:
        there = await known(connection, conversation_id, [one.id for one in items])
        new = {one.id: one for one in items if one.id not in there}
        await append(connection, conversation_id, row, list(new.values()), sealing, now)


async def known(connection: AsyncConnection, conversation_id: str, ids: Sequence[str]) -> set[str]:
    """Which of them the conversation has."""
    of, there = conversation_items.c, set[str]()
    for start in range(0, len(ids), _PAGE):
        some = select(of.id).where(of.conversation_id == conversation_id, of.id.in_(ids[start : start + _PAGE]))
        there |= set((await connection.execute(some)).scalars())
    return there


async def append(
    connection: AsyncConnection,
    conversation_id: str,
    before: RowMapping,
    items: Sequence[Item],
    sealing: Sealing,
    now: int,
) -> None:
    """Behind those that are there: `before` has `item_count` and `last` of the conversation, which is locked."""
    rows = [
        {
            "conversation_id": conversation_id,
            "position": position,
            "id": one.id,
            "body": sealing.seal(one.body, item_place(conversation_id, one.id)),
        }
        for position, one in enumerate(items, before["last"] + 1)
    ]
    if rows:
        await connection.execute(insert(conversation_items), rows)
    new = {"item_count": before["item_count"] + len(rows), "last": before["last"] + len(rows), "used_at": now}
    await connection.execute(update(conversations).where(conversations.c.id == conversation_id).values(new))


def item_place(conversation_id: str, item_id: str) -> str:
    return place(conversation_id, f"items/{item_id}")


def page_of(items: Sequence[Item], after: str | None, limit: int, *, newest_first: bool) -> list[Item]:
    """Of a list that is here as a whole, the oldest first. Raises `NoItem` (`after`)."""
    ordered = list(reversed(items)) if newest_first else list(items)
    start = 0
    if after is not None:
        ids = [one.id for one in ordered]
        if after not in ids:
            raise NoItem()
        start = ids.index(after) + 1
    return ordered[start : start + limit]
