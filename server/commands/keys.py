"""`portico keys create|list|show|revoke|rotate`."""

from __future__ import annotations

import argparse
from time import time
from typing import TYPE_CHECKING, Any

from server.api.admin.bodies import NewKey, NewProject, Rotation
from server.api.admin.projects import new_project
from server.api.admin.shapes import key_shape
from server.auth.issue import issue_key, issue_successor
from server.auth.secrets import tag_key
from server.commands.arguments import add_limits, duration, merged, names
from server.commands.durable import PAGE, Failed, actor, add_action, asked, find_project, moment, say, show, show_one
from server.stores.records import KeyRecord, ProjectRecord
from server.stores.sql.store import SqlStore

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]

DEFAULT_PROJECT = "default"
COLUMNS = ("id", "name", "project_id", "redacted_value", "status", "expires", "last_used")


def add_keys_commands(commands: Subparsers) -> None:
    keys = commands.add_parser("keys", help="keys that clients call with")
    actions = keys.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_create(add_action(actions, "create", _create, "create a key and print it, this once"))
    listed = add_action(actions, "list", _list, "list the keys")
    listed.add_argument("--project", metavar="PROJECT", help="id or name; all projects without it")
    listed.add_argument("--revoked", action="store_true", help="revoked ones too")
    one = add_action(actions, "show", _show, "show a key, but not its secret, which nobody knows")
    revoke = add_action(actions, "revoke", _revoke, "revoke a key at once")
    rotate = add_action(actions, "rotate", _rotate, "print a new key that takes the place of one, this once")
    for action in (one, revoke, rotate):
        action.add_argument("key", metavar="KEY_ID")
    rotate.add_argument(
        "--overlap", type=duration, metavar="TIME", help="for how long the old key goes on working (1d); 0: not at all"
    )


def _add_create(create: argparse.ArgumentParser) -> None:
    create.add_argument("name", metavar="NAME", nargs="?", help="for lists and logs (key)", default="key")
    create.add_argument(
        "--project", metavar="PROJECT", default=DEFAULT_PROJECT, help="id or name (default, which is made if need be)"
    )
    create.add_argument("--models", type=names, metavar="A,B", help="models that it may use; all without it")
    create.add_argument("--endpoints", type=names, metavar="A,B", help="such as chat.completions; all without it")
    add_limits(create)
    create.add_argument("--priority", metavar="CLASS", help="interactive, standard (without it) or batch")
    create.add_argument("--reasoning", metavar="HOW", help="shown or hidden; as the server says without it")
    create.add_argument("--policy", metavar="NAME", help="its moderation policy")
    create.add_argument("--note", metavar="TEXT", help="for administrators")
    create.add_argument(
        "--expires", type=duration, metavar="TIME", help="after how long, such as 90d; never without it"
    )


async def _create(arguments: argparse.Namespace, store: SqlStore) -> None:
    body = asked(
        NewKey,
        name=arguments.name,
        models=arguments.models,
        endpoints=arguments.endpoints,
        limits=merged(None, arguments.limits),
        priority=arguments.priority,
        reasoning=arguments.reasoning,
        policy=arguments.policy,
        note=arguments.note,
        expires_in_seconds=arguments.expires,
    )
    project = await _project(store, arguments.project)
    now = int(time())
    key, secret = issue_key(
        tag_key(await store.server_secret()),
        now,
        project.id,
        body.name,
        body.changed(),
        expires_at=None if body.expires_in_seconds is None else now + body.expires_in_seconds,
    )
    await store.create_key(key, actor())
    say(f"Created the key {key.id} of the project {project.name}. It is shown this once; only its hash is kept.")
    _hand_over(key, secret, as_json=arguments.json)


async def _project(store: SqlStore, text: str) -> ProjectRecord:
    try:
        return await find_project(store, text)
    except Failed:
        if text != DEFAULT_PROJECT:
            raise
    say(f"Created the project {DEFAULT_PROJECT}.")
    return await new_project(store, NewProject(name=DEFAULT_PROJECT), actor())


def _hand_over(key: KeyRecord, secret: str, *, as_json: bool) -> None:
    if as_json:
        show_one(facts(key) | {"value": secret}, as_json=True)
    else:
        print(secret)


async def _list(arguments: argparse.Namespace, store: SqlStore) -> None:
    project_id = None if arguments.project is None else (await find_project(store, arguments.project)).id
    rows: list[dict[str, Any]] = []
    after: str | None = None
    while page := await store.keys(project_id, after=after, limit=PAGE, revoked=arguments.revoked):
        rows += [facts(key) for key in page]
        after = page[-1].id
    shown = rows if arguments.json else [row | _in_words(row) for row in rows]
    show(shown, COLUMNS, as_json=arguments.json)


async def _show(arguments: argparse.Namespace, store: SqlStore) -> None:
    show_one(facts(await store.key(None, arguments.key)), as_json=arguments.json)


async def _revoke(arguments: argparse.Namespace, store: SqlStore) -> None:
    key = await store.revoke_key(None, arguments.key, actor())
    say(f"Revoked the key {key.name} ({key.redacted}).")
    if arguments.json:
        show_one(facts(key), as_json=True)


async def _rotate(arguments: argparse.Namespace, store: SqlStore) -> None:
    overlap = asked(Rotation, overlap_seconds=arguments.overlap).overlap_seconds
    old = await store.key(None, arguments.key)
    new, secret = issue_successor(tag_key(await store.server_secret()), int(time()), old)
    await store.rotate_key(old.id, new, overlap, actor())
    end = moment((await store.key(None, old.id)).expires_at)
    say(f"Created the key {new.id} in place of {old.id}, which works until {end}. It is shown this once.")
    _hand_over(new, secret, as_json=arguments.json)


def facts(key: KeyRecord) -> dict[str, Any]:
    shape = key_shape(key, None)
    status = "revoked" if key.revoked_at is not None else "active"
    if status == "active" and key.expires_at is not None and key.expires_at <= time():
        status = "expired"
    owner = {"service_account_id": key.service_account_id}
    return {name: value for name, value in shape.items() if not name.startswith("owner")} | owner | {"status": status}


def _in_words(row: dict[str, Any]) -> dict[str, Any]:
    return {"expires": moment(row["expires_at"]), "last_used": moment(row["last_used_at"])}
