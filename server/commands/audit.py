"""`portico audit list|excerpts|verify`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from server.commands.arguments import names, since
from server.commands.durable import Failed, add_action, find_project, moment, say, show, show_one
from server.commands.excerpts import show_excerpts
from server.stores.base import AuditLog, LogName
from server.stores.records import AuditRecord
from server.stores.sql.store import SqlStore

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

COLUMNS = ("seq", "time", "actor", "event", "subject", "details")
LOGS: dict[LogName, str] = {"audit": "The audit log", "decisions": "The log of decisions"}


def add_audit_commands(commands: Subparsers) -> None:
    audit = commands.add_parser("audit", help="who changed projects and keys, and what moderation decided")
    actions = audit.add_subparsers(title="actions", metavar="ACTION", required=True)
    listed = add_action(actions, "list", _list, "list changes, newest first")
    listed.add_argument("--decisions", action="store_true", help="decisions of moderation in place of changes")
    listed.add_argument("--events", type=names, default=[], metavar="A,B", help="such as api_key.created")
    kept = add_action(actions, "excerpts", _excerpts, "decrypt what policies kept of texts, newest first")
    kept.add_argument("--request", metavar="ID", help="of one request, by its id")
    for action in (listed, kept):
        action.add_argument("--limit", type=int, default=50, metavar="N", help="how many at most (50)")
        action.add_argument("--project", metavar="PROJECT", help="id or name")
        action.add_argument("--since", type=since, metavar="TIME", help="a day, or how long ago, such as 7d")
    add_action(actions, "verify", _verify, "check that no record was changed or removed; exit status 1 if one was")


async def _list(arguments: argparse.Namespace, store: SqlStore) -> None:
    found = await store.audit(
        log="decisions" if arguments.decisions else "audit",
        limit=_limit(arguments),
        events=arguments.events,
        project_ids=await _project_ids(arguments, store, decisions=arguments.decisions),
        since=arguments.since,
    )
    rows = [_facts(record) for record in found]
    if arguments.decisions and not arguments.json:
        rows = [row | {"details": _in_words(row["details"])} for row in rows]
    show(rows, COLUMNS, as_json=arguments.json)


async def _excerpts(arguments: argparse.Namespace, store: SqlStore) -> None:
    _limit(arguments)
    await show_excerpts(arguments, store, await _project_ids(arguments, store, decisions=True))


def _limit(arguments: argparse.Namespace) -> int:
    """Raises `Failed`."""
    if arguments.limit < 1:
        raise Failed("--limit: must be at least 1", 2)
    return arguments.limit


async def _project_ids(arguments: argparse.Namespace, store: SqlStore, *, decisions: bool) -> list[str]:
    """A project of the configuration is in no database, and its id is its name. Raises `Failed`."""
    if arguments.project is None:
        return []
    try:
        return [(await find_project(store, arguments.project)).id]
    except Failed:
        if not decisions:
            raise
        return [arguments.project]


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


def _in_words(details: dict[str, Any]) -> dict[str, Any]:
    """Of a decision, what fits a line."""
    rules = list(dict.fromkeys(one["rule"] for one in details["matches"]))
    return {"policy": f"{details['policy']}-{details['version']}", "direction": details["direction"], "rules": rules}


async def _verify(arguments: argparse.Namespace, store: SqlStore) -> None:
    found: dict[LogName, dict[str, Any]] = {log: await _verified(store, log) for log in LOGS}
    if arguments.json:
        show_one(found["audit"] | {"decisions": found["decisions"]}, as_json=True)
    if faults := [f"{LOGS[log]} was tampered with: {facts['fault']}" for log, facts in found.items() if facts["fault"]]:
        raise Failed("; ".join(faults))
    for log, facts in found.items():
        removed = f", the first {facts['removed']} of them removed by retention" if facts["removed"] else ""
        say(f"{LOGS[log]} is intact: {facts['records']} records{removed}.")


async def _verified(log: AuditLog, name: LogName) -> dict[str, Any]:
    """`records` there were, of which the first `removed` are gone; `hash` of the last one."""
    ends = await log.chain_ends(name)
    fault = await log.verify_audit(name)
    return {
        "intact": fault is None,
        "fault": fault,
        "records": ends.seq,
        "removed": ends.cut_seq,
        "hash": ends.hash if ends.seq else None,
    }
