"""The audit log: reading it, and finding out whether somebody changed it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import RowMapping, Select, select

from server.stores.base import StoreError
from server.stores.chain import Chain
from server.stores.records import AuditRecord
from server.stores.sql.change import Part
from server.stores.sql.codec import to_audit
from server.stores.sql.tables import audit, state

_PAGE = 1000  # records that are verified in one query


class Audit(Part):
    """See `stores.base.AuditLog`."""

    async def audit(
        self,
        *,
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
        query = select(audit)
        for column, allowed in (
            (audit.c.event, events),
            (audit.c.project_id, project_ids),
            (audit.c.actor_id, actor_ids),
            (audit.c.subject_id, subject_ids),
        ):
            if allowed:
                query = query.where(column.in_(allowed))
        if since is not None:
            query = query.where(audit.c.at >= since)
        if until is not None:
            query = query.where(audit.c.at <= until)
        query, newest_first = _between(query, after, before)
        async with self._database.reading() as connection:
            records = [to_audit(row) for row in (await connection.execute(query.limit(limit))).mappings()]
        return records if newest_first else records[::-1]

    async def verify_audit(self) -> str | None:
        chain = Chain()
        while True:
            query = select(audit).where(audit.c.seq > chain.seq).order_by(audit.c.seq).limit(_PAGE)
            async with self._database.reading(one_state=True) as connection:
                rows = (await connection.execute(query)).mappings().all()
                head = (await connection.execute(select(state.c.audit_seq, state.c.audit_hash))).one()
            for row in rows:
                if fault := _follow(chain, row):
                    return fault
            if len(rows) < _PAGE:
                return chain.end(head.audit_seq, head.audit_hash)


def _between(query: Select[tuple[object]], after: str | None, before: str | None) -> tuple[Select[tuple[object]], bool]:
    """The page after one record or before another in a list that has the newest first; whether it comes that way."""
    seq = audit.c.seq
    if after is not None:
        query = query.where(seq < select(seq).where(audit.c.id == after).scalar_subquery())
    if before is not None:
        query = query.where(seq > select(seq).where(audit.c.id == before).scalar_subquery())
    if before is not None and after is None:
        return query.order_by(seq), False
    return query.order_by(seq.desc()), True


def _follow(chain: Chain, row: RowMapping) -> str | None:
    try:
        return chain.follow(to_audit(row))
    except StoreError:  # what was made of it is no record any more
        return f"record {row[audit.c.seq]} ({row[audit.c.id]}) is not as it was written"
