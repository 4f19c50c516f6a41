"""Adding usage, as cheaply as may be: a busy gateway adds thousands of rows a second.

What SQLAlchemy does for each row costs five times the row itself, so these statements go to the driver as they are; few
and large (rows.py). The sums by hour are made in SQL, of those rows alone that were new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.records import UsageRecord
from server.stores.sql.tables import usage, usage_hours

PAGE = 1000  # rows per statement of SQLite, which takes 32,766 parameters since version 3.32 (2020)
WITHOUT_TOKENS = ("moderations",)
"""Endpoints whose good calls are requests like others though no engine counts tokens of theirs."""
COUNTED = ("prompt", "cached", "completion", "reasoning", "cost")

_NAMES = [column.name for column in usage.c]
_AT = _NAMES.index("at_ms")
_HOUR = "at_ms / 3600000 * 3600"
_SERVED = f"prompt > 0 OR (status = 200 AND endpoint IN ({', '.join(map(repr, WITHOUT_TOKENS))}))"
_SUMS = ", ".join((f"count(CASE WHEN {_SERVED} THEN 1 END)", *(f"CAST(sum({name}) AS BIGINT)" for name in COUNTED)))
_INSERT = f"INSERT INTO usage ({', '.join(_NAMES)})"
_ROW = f"({', '.join('?' * len(_NAMES))})"
_TO_HOURS = f"""
INSERT INTO usage_hours ({", ".join(column.name for column in usage_hours.c)})
SELECT project_id, key_id, model, {_HOUR}, {_SUMS} FROM {{new}}
GROUP BY project_id, key_id, model, {_HOUR} ORDER BY project_id, key_id, model, {_HOUR}
ON CONFLICT (project_id, key_id, model, hour) DO UPDATE SET
{", ".join(f"{name} = usage_hours.{name} + excluded.{name}" for name in ("requests", *COUNTED))}
"""  # noqa: S608 - all of it is ours
_TO_HOURS_SQLITE = _TO_HOURS.format(new="usage WHERE rowid > ?")
_TYPES = {"status": "int", "queued_ms": "float8", "first_token_ms": "float8", "duration_ms": "float8"}
_TEXTS = ("call_id", "project_id", "key_id", "model", "endpoint", "priority", "outcome")
_COLUMNS = ", ".join(
    f"${number}::{_TYPES.get(name, 'text' if name in _TEXTS else 'bigint')}[]"
    for number, name in enumerate(_NAMES, start=1)
)
_POSTGRESQL = f"""
WITH new AS (
{_INSERT} SELECT * FROM unnest({_COLUMNS}) ON CONFLICT DO NOTHING RETURNING *
)
{_TO_HOURS.format(new="new")}
"""  # noqa: S608


def adding_to_sqlite(records: Sequence[UsageRecord]) -> Callable[[sqlite3.Connection], None]:
    """For a transaction that writes, so that the rows which were new are the last ones."""
    pages: list[tuple[str, list[Any]]] = []
    for start in range(0, len(records), PAGE):
        page = records[start : start + PAGE]
        rows = ", ".join([_ROW] * len(page))
        values = [value for record in page for value in _row(record)]
        pages.append((f"{_INSERT} VALUES {rows} ON CONFLICT DO NOTHING", values))

    def add(connection: sqlite3.Connection) -> None:
        for statement, values in pages:
            new = connection.execute(statement, values)
            if new.rowcount:
                last = new.lastrowid or 0
                connection.execute(_TO_HOURS_SQLITE, (last - new.rowcount,))

    return add


async def add_to_postgresql(connection: AsyncConnection, records: Sequence[UsageRecord]) -> None:
    columns = [list(column) for column in zip(*map(_row, records), strict=True)]
    await connection.exec_driver_sql(_POSTGRESQL, tuple(columns))


def _row(record: UsageRecord) -> list[Any]:
    """In the order of the table's columns, which is that of the record's fields but for the decisions, the last."""
    row = list(astuple(record)[: len(_NAMES)])
    row[_AT] = int(row[_AT] * 1000)
    return row
