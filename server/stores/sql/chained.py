"""The chained logs: one table each, and a row that says where the chain ends and up to where it was cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import LogName
from server.stores.chain import hash_of
from server.stores.records import AuditRecord, ChainEnds
from server.stores.sql.codec import audit_row
from server.stores.sql.tables import audit, chains, decisions

TABLES: Mapping[LogName, Table] = {"audit": audit, "decisions": decisions}
PAGE = 100  # records that are hashed and written at once: about a millisecond of the event loop


async def ends_of(connection: AsyncConnection, log: LogName, *, lock: bool = False) -> ChainEnds:
    """With `lock` nobody else adds to the log, or cuts it, before this transaction is over."""
    of = chains.c
    query = select(of.seq, of.hash, of.cut_seq, of.cut_hash).where(of.name == log)
    row = (await connection.execute(query.with_for_update() if lock else query)).one()
    return ChainEnds(row.seq, row.hash, row.cut_seq, row.cut_hash)


async def append(connection: AsyncConnection, log: LogName, ends: ChainEnds, records: Sequence[AuditRecord]) -> int:
    """Link the records to the chain, whose `ends` are locked, and write them; the number of the last one."""
    seq, last = ends.seq, ends.hash
    for start in range(0, len(records), PAGE):
        links = linked(records[start : start + PAGE], seq, last)
        seq, last = links[-1].seq, links[-1].hash
        await connection.execute(insert(TABLES[log]), [audit_row(link) for link in links])
    await connection.execute(update(chains).where(chains.c.name == log).values(seq=seq, hash=last))
    return seq


def linked(records: Sequence[AuditRecord], seq: int, last: str) -> list[AuditRecord]:
    """Numbered and hashed, after the one of number `seq` and hash `last`."""
    links: list[AuditRecord] = []
    for number, record in enumerate(records, seq + 1):
        link = msgspec.structs.replace(record, seq=number, previous=last)
        last = hash_of(link, last)
        links.append(msgspec.structs.replace(link, hash=last))
    return links
