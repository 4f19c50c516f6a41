"""`portico admin-keys create|list|revoke`."""

from __future__ import annotations

import argparse
from time import time
from typing import TYPE_CHECKING

from server.api.admin.admin_keys import all_admin_keys
from server.api.admin.bodies import NewAdminKey
from server.api.admin.shapes import admin_key_shape
from server.auth.issue import issue_admin_key
from server.auth.secrets import tag_key
from server.commands.arguments import duration
from server.commands.durable import actor, add_action, asked, moment, say, show, show_one
from server.stores.sql.store import SqlStore

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # pyright: ignore[reportPrivateUsage]


def add_admin_keys_commands(commands: Subparsers) -> None:
    keys = commands.add_parser("admin-keys", help="keys of administrators, for /v1/organization")
    actions = keys.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = add_action(actions, "create", _create, "create an admin key and print it, this once")
    create.add_argument("name", metavar="NAME", help="whose it is, for the audit log")
    create.add_argument(
        "--expires", type=duration, metavar="TIME", help="after how long, such as 90d; never without it"
    )
    add_action(actions, "list", _list, "list the admin keys")
    revoke = add_action(actions, "revoke", _revoke, "delete an admin key at once")
    revoke.add_argument("key", metavar="KEY_ID")


async def _create(arguments: argparse.Namespace, store: SqlStore) -> None:
    body = asked(NewAdminKey, name=arguments.name, expires_in_seconds=arguments.expires)
    now = int(time())
    expires_at = None if body.expires_in_seconds is None else now + body.expires_in_seconds
    key, secret = issue_admin_key(tag_key(await store.server_secret()), now, body.name, expires_at)
    await store.create_admin_key(key, actor())
    say(f"Created the admin key {key.id}. It is shown this once; only its hash is kept.")
    if arguments.json:
        show_one(admin_key_shape(key) | {"value": secret}, as_json=True)
    else:
        print(secret)


async def _list(arguments: argparse.Namespace, store: SqlStore) -> None:
    rows = [admin_key_shape(key) for key in await all_admin_keys(store)]
    if not arguments.json:
        rows = [row | {"expires": moment(row["expires_at"]), "last_used": moment(row["last_used_at"])} for row in rows]
    show(rows, ("id", "name", "redacted_value", "expires", "last_used"), as_json=arguments.json)


async def _revoke(arguments: argparse.Namespace, store: SqlStore) -> None:
    await store.delete_admin_key(arguments.key, actor())
    say(f"Deleted the admin key {arguments.key}.")
    if arguments.json:
        show_one({"id": arguments.key, "deleted": True}, as_json=True)
