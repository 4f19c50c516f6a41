"""The chained logs: reading them, and finding out whether somebody changed one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, func, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from server.stores.base import LogName, StoreError
from server.stores.chain import Chain
from server.stores.records import AuditRecord, ChainEnds
from server.stores.sql.chained import TABLES, ends_of
from server.stores.sql.change import Part
from server.stores.sql.codec import to_audit

_PAGE = 1000  # records that are verified in one query


class Audit(Part):
    """See `stores.base.AuditLog`."""

    async def audit(
        self,
        *,
        log: LogName = "audit",
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
        events: Sequence[str] = (),
        project_ids: Sequence[str] = (),
        actor_ids: Sequence[str] = (),
        subject_ids: Sequence[str] = (),
        since: int | None = None,
        until: int | None = None,
    ) -> list[AuditRecord]:
        of = TABLES[log].c
        query = select(TABLES[log])
        for column, allowed in (
            (of.event, events),
            (of.project_id, project_ids),
            (of.actor_id, actor_ids),
            (of.subject_id, subject_ids),
        ):
            if allowed:
                query = query.where(column.in_(allowed))
        if since is not None:
            query = query.where(of.at >= since)
        if until is not None:
            query = query.where(of.at <= until)
        query, newest_first = _between(query, of, after, before)
        async with self._database.reading() as connection:
            records = [to_audit(row) for row in (await connection.execute(query.limit(limit))).mappings()]
        return records if newest_first else records[::-1]

    async def chain_ends(self, log: LogName) -> ChainEnds:
        async with self._database.reading() as connection:
            return await ends_of(connection, log)

    async def verify_audit(self, log: LogName = "audit") -> str | None:
        """In pages, between which records may be added, and old ones removed by retention."""
        chain, table = Chain(), TABLES[log]
        while True:
            async with self._database.reading(one_state=True) as connection:
                ends = await ends_of(connection, log)
                chain.skip(ends.cut_seq, ends.cut_hash)
                query = select(table).where(table.c.seq > chain.seq).order_by(table.c.seq).limit(_PAGE)
                rows = (await connection.execute(query)).mappings().all()
                first = (await connection.execute(select(func.min(table.c.seq)))).scalar()
            if first is not None and first <= ends.cut_seq:
                return f"record {first} is there, though all up to {ends.cut_seq} were removed by retention"
            for row in rows:
                if fault := _follow(chain, row):
                    return fault
            if len(rows) < _PAGE:
                return chain.end(ends.seq, ends.hash)


def _between(
    query: Select[Any], of: ReadOnlyColumnCollection[str, Any], after: str | None, before: str | None
) -> tuple[Select[Any], bool]:
    """The page after one record or before another in a list that has the newest first; whether it comes that way."""
    seq = of.seq
    if after is not None:
        query = query.where(seq < select(seq).where(of.id == after).scalar_subquery())
    if before is not None:
        query = query.where(seq > select(seq).where(of.id == before).scalar_subquery())
    if before is not None and after is None:
        return query.order_by(seq), False
    return query.order_by(seq.desc()), True


def _follow(chain: Chain, row: RowMapping) -> str | None:
    try:
        return chain.follow(to_audit(row))
    except StoreError:  # what was made of it is no record any more
        return f"record {row['seq']} ({row['id']}) is not as it was written"
