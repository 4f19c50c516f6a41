"""Usage: a row per call, and sums by hour beside them so that long spans add up quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, RowMapping, Select, and_, case, func, or_, select, union_all
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from server.stores.records import AuditRecord, UsageRecord, UsageTotal
from server.stores.sql.adding import COUNTED, WITHOUT_TOKENS, add_to_postgresql, adding_to_sqlite
from server.stores.sql.chained import PAGE, append, ends_of
from server.stores.sql.change import Part
from server.stores.sql.tables import decisions, usage, usage_hours

HOUR_S = 3600
Group = Literal["project_id", "key_id", "model"]
Wanted = Mapping[Group, Sequence[str]]
_GROUPS: tuple[Group, ...] = ("project_id", "key_id", "model")
_COUNTED_COLUMNS = [usage.c[name] for name in COUNTED]
_SUMS = ("requests", *COUNTED)
_TO_HOURS = [usage.c.at_ms, usage.c.project_id, usage.c.key_id, usage.c.model, *_COUNTED_COLUMNS]


class Usage(Part):
    """See `stores.base.Ledger`."""

    async def add_usage(self, records: Sequence[UsageRecord]) -> None:
        if not records:
            return
        # Before the calls and in a transaction of its own, as both can be repeated: what is there is passed over.
        if decided := [one for record in records for one in record.decisions]:
            await self._add_decisions(decided)
        # In order, as two processes may deliver the same calls and would else wait for each other.
        ordered = sorted(records, key=lambda record: record.call_id)
        if self._database.place.file is not None:
            await self._database.write_rows(adding_to_sqlite(ordered))
            return
        async with self._database.writing() as connection:
            await add_to_postgresql(connection, ordered)

    async def _add_decisions(self, records: Sequence[AuditRecord]) -> None:
        async with self._database.writing() as connection:
            ends = await ends_of(connection, "decisions", lock=True)
            there = set[str]()
            for start in range(0, len(records), PAGE):
                ids = [one.id for one in records[start : start + PAGE]]
                known = select(decisions.c.id).where(decisions.c.id.in_(ids))
                there |= set((await connection.execute(known)).scalars())
            new = {one.id: one for one in records if one.id not in there}
            if new:
                await append(connection, "decisions", ends, list(new.values()))

    async def usage(
        self,
        *,
        since: int,
        until: int,
        bucket_s: int,
        group_by: Sequence[Group] = (),
        project_ids: Sequence[str] = (),
        key_ids: Sequence[str] = (),
        models: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> list[UsageTotal]:
        """Spans of whole hours are quick: the day or month that a limit counts, buckets of an hour and of a day."""
        whole = until - until % HOUR_S if since % HOUR_S == 0 == bucket_s % HOUR_S else since
        wanted: Wanted = {"project_id": project_ids, "key_id": key_ids, "model": models}
        hours, calls = _hours(since, whole, wanted, without), _calls(max(since, whole), until, wanted, without)
        some = union_all(hours, calls).subquery()
        start = (since + (some.c.at - since) // bucket_s * bucket_s).label("start")
        groups = [some.c[name] for name in _GROUPS if name in group_by]
        sums = [func.sum(some.c[name]).label(name) for name in _SUMS]
        query = select(start, *groups, *sums).group_by(start, *groups).order_by(start, *groups)
        async with self._database.reading() as connection:
            return [_total(row) for row in (await connection.execute(query)).mappings()]


def _hours(since: int, until: int, wanted: Wanted, without: Sequence[str]) -> Select[Any]:
    of = usage_hours.c
    query = select(of.hour.label("at"), *(of[name] for name in (*_GROUPS, *_SUMS)))
    return query.where(of.hour >= since, of.hour < until, *_chosen(of, wanted, without))


def _calls(since: int, until: int, wanted: Wanted, without: Sequence[str]) -> Select[Any]:
    of = usage.c
    without_tokens = and_(of.status == 200, of.endpoint.in_(WITHOUT_TOKENS))
    one = case((or_(of.prompt > 0, without_tokens), 1), else_=0).label("requests")  # else it reached no engine
    query = select((of.at_ms // 1000).label("at"), *(of[name] for name in _GROUPS), one, *_COUNTED_COLUMNS)
    return query.where(of.at_ms >= since * 1000, of.at_ms < until * 1000, *_chosen(of, wanted, without))


def _chosen(
    of: ReadOnlyColumnCollection[str, Any], wanted: Wanted, without: Sequence[str]
) -> list[ColumnElement[bool]]:
    chosen: list[ColumnElement[bool]] = [of[name].in_(values) for name, values in wanted.items() if values]
    return [*chosen, of.model.not_in(without)] if without else chosen


def _total(row: RowMapping) -> UsageTotal:
    project_id, key_id, model = (row.get(name) for name in _GROUPS)
    return UsageTotal(row["start"], project_id, key_id, model, *(int(row[name]) for name in _SUMS))
