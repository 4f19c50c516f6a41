"""`portico usage`: who used how much."""

from __future__ import annotations

import argparse
from time import time
from typing import TYPE_CHECKING, Any, Literal, cast

from server.api.admin.audit_logs import project_names
from server.commands.arguments import names, since
from server.commands.durable import Failed, add_action, find_project, moment, show
from server.stores.base import Directory, NotThere
from server.stores.records import UsageTotal
from server.stores.sql.store import SqlStore

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

DAY_S = 86_400
Group = Literal["project_id", "key_id", "model"]
GROUPS: dict[str, Group] = {"project": "project_id", "key": "key_id", "model": "model"}
SUMS = ("requests", "prompt", "cached", "completion", "reasoning", "cost")


def add_usage_command(commands: Subparsers) -> None:
    usage = add_action(commands, "usage", _usage, "requests, tokens and cost, by day, project, key and model")
    usage.add_argument("--since", type=since, metavar="TIME", help="a day (UTC), or how long ago, such as 30d (7d)")
    usage.add_argument("--until", type=since, metavar="TIME", help="as --since; exclusive; now without it")
    usage.add_argument(
        "--by",
        type=names,
        default=["day", "project", "key", "model"],
        metavar="A,B",
        help="of day, project, key, model",
    )
    usage.add_argument("--project", metavar="PROJECT", help="id or name")


async def _usage(arguments: argparse.Namespace, store: SqlStore) -> None:
    if unknown := set(arguments.by) - {"day", *GROUPS}:
        raise Failed(f"--by: no such thing as {', '.join(sorted(unknown))}; take of day, project, key, model", 2)
    until = arguments.until or int(time()) + 1
    begin = until - 7 * DAY_S if arguments.since is None else arguments.since
    begin -= begin % DAY_S  # whole days
    if begin >= until:
        raise Failed("--since: must be before --until", 2)
    project = None if arguments.project is None else await find_project(store, arguments.project)
    groups: list[Group] = [GROUPS[name] for name in GROUPS if name in arguments.by]
    totals = await store.usage(
        since=begin,
        until=until,
        bucket_s=DAY_S if "day" in arguments.by else until - begin,
        group_by=groups,
        project_ids=[] if project is None else [project.id],
    )
    known = await _names(store, totals)
    rows = [_facts(total, known) for total in totals]
    columns = (*(name for name in ("day", *GROUPS) if name in arguments.by), *SUMS)
    show(rows, columns, as_json=arguments.json)


def _facts(total: UsageTotal, known: dict[str, str]) -> dict[str, Any]:
    day = cast("str", moment(total.start))[:10]
    return {
        "day": day,
        "project": known.get(total.project_id or "", total.project_id),
        "project_id": total.project_id,
        "key": known.get(total.key_id or "", total.key_id),
        "key_id": total.key_id,
        "model": total.model,
        **{name: getattr(total, name) for name in SUMS},
        "cost": total.cost / 1_000_000,
    }


async def _names(directory: Directory, totals: list[UsageTotal]) -> dict[str, str]:
    """Of projects and keys, by id. Those of the configuration are in no database; their id is their name."""
    found = await project_names(directory, {total.project_id for total in totals if total.project_id})
    for key_id in {total.key_id for total in totals if total.key_id}:
        try:
            found[key_id] = (await directory.key(None, key_id)).name
        except NotThere:
            continue
    return found
