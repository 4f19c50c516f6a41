"""`portico audit excerpts`: what policies kept of texts in which they found something, for who has the key."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Sequence
from typing import Any

from server.commands.durable import PAGE, Failed, moment, show
from server.config import load
from server.durable import sealing_of
from server.moderation.record import excerpts_in
from server.stores.records import AuditRecord
from server.stores.sealing import Sealing
from server.stores.sql.store import SqlStore

COLUMNS = ("seq", "time", "request", "rule", "where", "start", "text")


async def show_excerpts(arguments: argparse.Namespace, store: SqlStore, project_ids: Sequence[str]) -> None:
    """Newest first, of `--limit` decisions at most. Raises `Failed`, `StoreError`."""
    settings = load(arguments.config).stores.encryption
    if settings.key is None:
        raise Failed("stores.encryption.key: is not set, and excerpts are encrypted by it")
    sealing = sealing_of(settings)
    rows: list[dict[str, Any]] = []
    async for record in _with_excerpts(arguments, store, project_ids):
        rows += _rows(record, sealing)
    if not arguments.json:
        rows = [row | {"text": _shown(row["text"])} for row in rows]
    show(rows, COLUMNS, as_json=arguments.json)


async def _with_excerpts(
    arguments: argparse.Namespace, store: SqlStore, project_ids: Sequence[str]
) -> AsyncIterator[AuditRecord]:
    left, after = arguments.limit, None
    calls = [] if arguments.request is None else [arguments.request]
    while page := await store.audit(
        log="decisions", after=after, limit=PAGE, project_ids=project_ids, subject_ids=calls, since=arguments.since
    ):
        for record in page:
            if "excerpts" in record.details:
                yield record
                left -= 1
            if not left:
                return
        after = page[-1].id


def _rows(record: AuditRecord, sealing: Sealing) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for excerpt in excerpts_in(record, sealing):
        match = record.details["matches"][excerpt.match]
        rows.append(
            {
                "seq": record.seq,
                "id": record.id,
                "time": moment(record.at),
                "request": record.subject_id,
                "project": record.project_id,
                "rule": match["rule"],
                "where": match["where"],
                "match": [match["start"], match["end"]],
                "start": excerpt.start,
                "text": excerpt.text,
            }
        )
    return rows


def _shown(text: str) -> str:
    """On a terminal, and in one line: what is no letter there is its number."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
