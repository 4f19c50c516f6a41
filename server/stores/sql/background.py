"""Responses that run in the background: who runs them, what they have said so far, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import insert, select, update

from server.stores.responses import OPEN, Item, ResponseRecord
from server.stores.sql.pages import count, found
from server.stores.sql.responses import WHAT, ResponsePart, no_response, one_of
from server.stores.sql.state_codec import (
    RESPONSE,
    items_of,
    of_items,
    of_list,
    place,
    sealed_response,
    to_list,
    to_response,
)
from server.stores.sql.state_tables import response_events, responses

_OPEN = responses.c.status.in_(sorted(OPEN))
_NOBODYS = {"owner": None, "leased_until_ms": None}


class BackgroundResponses(ResponsePart):
    """See `stores.responses.ResponseStore`, its second half."""

    async def open_response(
        self,
        record: ResponseRecord,
        input: Sequence[Item],
        owner: str,
        lease_s: float,
    ) -> None:
        row = sealed_response(record, self._sealing, input=input)
        async with self._database.writing() as connection:
            await connection.execute(insert(responses).values(row | self._lease(owner, lease_s)))

    async def change_response(
        self, project_id: str, response_id: str, change: Callable[[ResponseRecord], ResponseRecord]
    ) -> ResponseRecord:
        query = select(*RESPONSE).where(one_of(project_id, response_id)).with_for_update()
        async with self._database.writing() as connection:
            record = to_response(await found(connection, query, WHAT), self._sealing)
            if record.status in OPEN:
                record = change(record)
                await connection.execute(update(responses).where(responses.c.id == record.id).values(self._new(record)))
        return record

    async def finish_response(self, record: ResponseRecord, output: Sequence[Item]) -> bool:
        new = self._new(record) | {"output": self._sealing.seal(of_items(output), place(record.id, "output"))}
        finishing = update(responses).where(one_of(record.project_id, record.id), _OPEN).values(new)
        async with self._database.writing() as connection:
            its = select(responses.c.id, responses.c.input).where(one_of(record.project_id, record.id))
            row = (await connection.execute(its.with_for_update())).mappings().one_or_none()
            if row is None or not await count(connection, finishing):
                return False
            await self._append(connection, record, [*items_of(row, "input", self._sealing), *output])
        return True

    async def renew_responses(self, owner: str, lease_s: float) -> frozenset[str]:
        its = responses.c.owner == owner
        async with self._database.writing() as connection:
            await connection.execute(update(responses).where(its).values(self._lease(owner, lease_s)))
            return frozenset((await connection.execute(select(responses.c.id).where(its))).scalars())

    async def take_over(self, owner: str, lease_s: float, limit: int = 100) -> list[ResponseRecord]:
        of = responses.c
        left = select(*RESPONSE).where(of.leased_until_ms < self._now_ms())
        oldest = left.order_by(of.leased_until_ms).limit(limit).with_for_update(skip_locked=True)
        async with self._database.writing() as connection:
            rows = (await connection.execute(oldest)).mappings().all()
            if rows:
                ours = update(responses).where(of.id.in_([row["id"] for row in rows]))
                await connection.execute(ours.values(self._lease(owner, lease_s)))
        return [to_response(row, self._sealing) for row in rows]

    async def add_events(self, response_id: str, first: int, events: Sequence[bytes]) -> None:
        if not events:
            return
        row = {
            "response_id": response_id,
            "first": first,
            "last": first + len(events) - 1,
            "events": self._sealing.seal(of_list(events), place(response_id, f"events/{first}")),
        }
        adding = self._database.insert(response_events).values(row)
        async with self._database.writing() as connection:
            its = select(responses.c.id).where(responses.c.id == response_id).with_for_update(key_share=True)
            if (await connection.execute(its)).one_or_none() is None:
                raise no_response()
            await connection.execute(adding.on_conflict_do_nothing())

    async def events(self, project_id: str, response_id: str, *, after: int = -1, limit: int = 1000) -> list[bytes]:
        of = response_events.c
        batches = responses.outerjoin(
            response_events, (of.response_id == responses.c.id) & (of.last > after) & (of.first <= after + limit)
        )
        query = (
            select(of.first, of.events).select_from(batches).where(one_of(project_id, response_id)).order_by(of.first)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        if not rows:
            raise no_response()
        found_events: list[bytes] = []
        for row in rows if rows[0]["first"] is not None else ():
            batch = to_list(self._sealing.unseal(row["events"], place(response_id, f"events/{row['first']}")))
            found_events += batch[max(0, after + 1 - row["first"]) :]
        return found_events

    def _new(self, record: ResponseRecord) -> dict[str, Any]:
        """What changes of its row; one that is not open any more is nobody's."""
        body = self._sealing.seal(record.body, place(record.id, "body"))
        return {"status": record.status, "body": body} | ({} if record.status in OPEN else _NOBODYS)

    def _lease(self, owner: str, lease_s: float) -> dict[str, Any]:
        return {"owner": owner, "leased_until_ms": self._now_ms() + int(lease_s * 1000)}

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
