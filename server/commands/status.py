"""`portico status`: what the running service does now, asked at its metrics listener."""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from server.commands.durable import cut, table
from server.commands.loopback import own_host
from server.config import Config, load

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

TIMEOUT_S = 5
MOST_SHOWN = 20  # rows of the queue
HEADS = ("class", "project", "weight", "waiting", "longest", "running", "served")  # weighted tokens, this time
INDENT = " " * 11
SHORTEST = 8  # columns of a project, however narrow the terminal is
Worker = dict[str, Any]


class _Status(msgspec.Struct):
    workers: list[dict[str, Any]]


class NoStatus(Exception):
    """One line for a person."""


def add_status_command(commands: Subparsers) -> None:
    status = commands.add_parser("status", help="what the running service does now: engines, queue, limits")
    status.add_argument("--config", type=Path, metavar="FILE", help="the configuration that it runs with")
    status.add_argument("--json", action="store_true", help="all facts, by worker")
    status.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    try:
        status = ask(load(arguments.config))
    except NoStatus as error:
        print(f"portico: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(status, indent=2))
    else:
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(lines(status["workers"], columns)))
    return 0


def ask(config: Config) -> dict[str, Any]:
    """`{"workers": [{...}, ...]}`. Raises `NoStatus`."""
    host, port = own_host(config.metrics.host), config.metrics.port
    headers = {"authorization": f"Bearer {config.metrics.token}"} if config.metrics.token else {}
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/status", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        raise NoStatus(
            f"Nothing answers on {host}:{port} (metrics.host, metrics.port): the service is not running, or runs with "
            "another configuration; name that with --config."
        ) from None
    finally:
        connection.close()
    if answer.status != 200:
        raise NoStatus(f"{host}:{port} answers {answer.status} to /status: is metrics.token right, is it Portico?")
    try:
        return msgspec.to_builtins(msgspec.json.decode(body, type=_Status))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NoStatus(f"{host}:{port} answers something else to /status: is it Portico?") from None


def lines(workers: list[Worker], columns: int | None = None) -> Iterator[str]:
    """For people, in a terminal of so many columns; None: as long as they are."""
    if not workers:
        yield "workers    none has begun yet: see the log, or ask again in a second"
        return
    yield f"workers    {len(workers)}"
    for name in sorted({name for one in workers for name in one["engines"]}):
        parts = [one["engines"][name] for one in workers if name in one["engines"]]
        up = sum(bool(part["up"]) for part in parts)
        state = "up" if up == len(parts) else "down" if not up else f"up for {up} of {len(parts)} workers"
        if any(part["drained"] for part in parts):
            state += ", drained"
        broken = sum(part["breaker"] != "closed" for part in parts)
        if broken:
            state += f", failing for {broken} of {len(parts)} workers"
        busy, room = (sum(part[key] for part in parts) for key in ("in_flight", "max_in_flight"))
        yield f"engine     {name}: {state}, {busy} of {room} in flight"
    degraded = sum(bool(one["limits"]["degraded"]) for one in workers)
    yield f"limits     {'without their shared store: each worker enforces its share' if degraded else 'ok'}"
    yield f"usage      {sum(one['usage']['waiting'] for one in workers)} records not in the database yet"
    yield from _queue(workers, columns)


def _queue(workers: list[Worker], columns: int | None) -> Iterator[str]:
    """Each worker has a queue of its own; what they know of a project's calls of one class is put together."""
    found: dict[tuple[str, str], list[Worker]] = {}
    for standing in (one for worker in workers for one in worker["queue"]):
        found.setdefault((standing["priority"], standing["tenant"]), []).append(standing)
    yield f"queue      {sum(one['waiting'] for several in found.values() for one in several)} calls wait"
    rows = [_row(priority, project, several) for (priority, project), several in found.items()]
    if rows:
        yield from (f"{INDENT}{line}" for line in table(_fitted(rows[:MOST_SHOWN], columns), HEADS))
    if len(rows) > MOST_SHOWN:
        yield f"{INDENT}and {len(rows) - MOST_SHOWN} more"


def _fitted(rows: list[list[str]], columns: int | None) -> list[list[str]]:
    """The rows with the projects cut where the lines would else be too long."""
    if columns is None:
        return rows
    longest = max(len(INDENT) + len(line) for line in table([[*row[:1], "", *row[2:]] for row in rows], HEADS))
    room = max(SHORTEST, columns - longest + len("project"))
    return [[row[0], cut(row[1], room), *row[2:]] for row in rows]


def _row(priority: str, project: str, standings: list[Worker]) -> list[str]:
    waiting, running, counter = (sum(one[name] for one in standings) for name in ("waiting", "running", "counter"))
    longest = max(one["longest_wait_s"] for one in standings)
    weight = standings[0]["weight"]
    return [priority, project, f"{weight:g}", str(waiting), f"{longest:.1f} s", str(running), f"{counter:,.0f}"]
