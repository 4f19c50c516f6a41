"""Removing what is old, a few rows in each transaction, so that nobody waits long for it."""

from __future__ import annotations

from itertools import takewhile

from sqlalchemy import delete, select, tuple_, update

from server.stores.base import LogName
from server.stores.sql.chained import TABLES, ends_of
from server.stores.sql.change import Part
from server.stores.sql.ledger import HOUR_S
from server.stores.sql.pages import count
from server.stores.sql.tables import chains, duties, usage, usage_hours


class Retention(Part):
    """See `stores.base.Retention`."""

    async def take_duty(self, name: str, for_s: int) -> bool:
        now = int(self._clock())
        async with self._database.writing() as connection:
            await connection.execute(
                self._database.insert(duties).values(name=name, free_at=0).on_conflict_do_nothing()
            )
            taking = update(duties).where(duties.c.name == name, duties.c.free_at <= now).values(free_at=now + for_s)
            return await count(connection, taking) == 1

    async def drop_usage(self, before: int, limit: int) -> int:
        old = select(usage.c.call_id).where(usage.c.at_ms < before * 1000).order_by(usage.c.at_ms).limit(limit)
        hour = tuple_(*usage_hours.primary_key.columns)
        past = select(*usage_hours.primary_key.columns).where(usage_hours.c.hour <= before - HOUR_S).limit(limit)
        async with self._database.writing() as connection:
            calls = await count(connection, delete(usage).where(usage.c.call_id.in_(old)))
            return calls + await count(connection, delete(usage_hours).where(hour.in_(past)))

    async def cut_log(self, log: LogName, before: int, limit: int) -> int:
        of = TABLES[log].c
        async with self._database.writing() as connection:
            await ends_of(connection, log, lock=True)
            first = await connection.execute(select(of.seq, of.at, of.hash).order_by(of.seq).limit(limit))
            old = list(takewhile(lambda row: row.at < before, first))
            if old:
                await connection.execute(delete(TABLES[log]).where(of.seq <= old[-1].seq))
                cut = {"cut_seq": old[-1].seq, "cut_hash": old[-1].hash}
                await connection.execute(update(chains).where(chains.c.name == log).values(cut))
        return len(old)
