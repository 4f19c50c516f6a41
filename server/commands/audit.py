"""`portico audit list|verify`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from server.commands.arguments import names, since
from server.commands.durable import Failed, add_action, find_project, moment, say, show, show_one
from server.stores.base import AuditLog
from server.stores.records import AuditRecord
from server.stores.sql.store import SqlStore

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

COLUMNS = ("seq", "time", "actor", "event", "subject", "details")


def add_audit_commands(commands: Subparsers) -> None:
    audit = commands.add_parser("audit", help="who changed projects and keys")
    actions = audit.add_subparsers(title="actions", metavar="ACTION", required=True)
    listed = add_action(actions, "list", _list, "list changes, newest first")
    listed.add_argument("--limit", type=int, default=50, metavar="N", help="how many at most (50)")
    listed.add_argument("--project", metavar="PROJECT", help="id or name")
    listed.add_argument("--events", type=names, default=[], metavar="A,B", help="such as api_key.created")
    listed.add_argument("--since", type=since, metavar="TIME", help="a day, or how long ago, such as 7d")
    add_action(actions, "verify", _verify, "check that no record was changed or removed; exit status 1 if one was")


async def _list(arguments: argparse.Namespace, store: SqlStore) -> None:
    if arguments.limit < 1:
        raise Failed("--limit: must be at least 1", 2)
    project = None if arguments.project is None else await find_project(store, arguments.project)
    found = await store.audit(
        limit=arguments.limit,
        events=arguments.events,
        project_ids=[] if project is None else [project.id],
        since=arguments.since,
    )
    show([_facts(record) for record in found], COLUMNS, as_json=arguments.json)


def _facts(record: AuditRecord) -> dict[str, Any]:
    who = record.actor
    return {
        "seq": record.seq,
        "id": record.id,
        "time": moment(record.at),
        "actor": f"{who.kind}:{who.name or who.id}",
        "actor_id": who.id,
        "event": record.event,
        "project": record.project_id,
        "subject": record.subject_id,
        "details": {name: value for name, value in record.details.items() if value not in (None, "")},
        "previous": record.previous,
        "hash": record.hash,
    }


async def _verify(arguments: argparse.Namespace, store: SqlStore) -> None:
    fault = await store.verify_audit()
    last = await _last(store)
    if arguments.json:
        head = {"records": last.seq, "hash": last.hash} if last is not None else {"records": 0, "hash": None}
        show_one({"intact": fault is None, "fault": fault} | head, as_json=True)
    if fault is not None:
        raise Failed(f"The audit log was tampered with: {fault}")
    say(f"The audit log is intact: {last.seq if last else 0} records.")


async def _last(log: AuditLog) -> AuditRecord | None:
    return next(iter(await log.audit(limit=1)), None)
