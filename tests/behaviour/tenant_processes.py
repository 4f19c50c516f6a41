"""Tenants of real processes: made as an administrator makes them, and looked at past the service."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from time import time
from typing import Any, TypeVar

from server.auth.issue import issue_key
from server.auth.secrets import tag_key
from server.config import Limit
from server.stores.records import KeyGrants, KeyRecord
from server.stores.sql.store import attach_durable
from tests.behaviour.processes import Served
from tests.behaviour.tenants import ACTOR
from tests.services.postgres import Postgres

T = TypeVar("T")
REACHED = "SELECT count(*) FROM usage WHERE prompt > 0"  # an engine
SUMMED = "SELECT coalesce(sum(requests), 0) FROM usage_hours"


async def new_key(served: Served, **limits: int) -> tuple[str, KeyRecord]:
    """The secret of a key with these limits in a project of its own, made in the database past the service."""
    store = attach_durable(served.durable, served.home)
    try:
        project = await store.create_project("team", ACTOR)
        tags = tag_key(await store.server_secret())
        record, secret = issue_key(tags, int(time()), project.id, "k", KeyGrants(limits=Limit(**limits)))
        await store.create_key(record, ACTOR)
        return secret, record
    finally:
        await store.close()


async def count(calls: int, served: Served, key: str, **body: Any) -> list[int]:
    """The statuses of so many calls at once."""
    return [reply.status for reply in await asyncio.gather(*(served.chat(key, **body) for _ in range(calls)))]


async def becomes(ask: Callable[[], Awaitable[T]], wanted: T, within_s: float = 15) -> None:
    """Ask until the answer is that. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + within_s
    while (found := await ask()) != wanted:
        assert asyncio.get_running_loop().time() < deadline, (found, wanted)
        await asyncio.sleep(0.05)


def rows(served: Served, statement: str) -> list[tuple[Any, ...]]:
    """Of the SQLite database of a service."""
    with closing(sqlite3.connect(served.home / "var/portico.db")) as connection:
        return connection.execute(statement).fetchall()


def outcomes(served: Served) -> dict[str, str]:
    """Of the calls in the usage, by their ids. The sums by hour must be of the same calls."""
    [(reached, summed)] = rows(served, f"SELECT ({REACHED}), ({SUMMED})")
    assert reached == summed
    return dict(rows(served, "SELECT call_id, outcome FROM usage"))


def used(postgres: Postgres, database: str) -> int:
    """Calls in the usage that reached an engine, of which there must be as many in the sums by hour."""
    reached, summed = postgres.sql(f"SELECT ({REACHED}), ({SUMMED})", database).split("|")
    assert reached == summed
    return int(reached)


async def told(served: Served, admin: str, key_id: str) -> tuple[int, int, int]:
    """Requests, prompt and completion tokens of a key by /v1/organization/usage/completions."""
    query = f"start_time={int(time()) - 3600}&bucket_width=1d&group_by=api_key_id&api_key_ids={key_id}"
    reply = await served.request("GET", f"/v1/organization/usage/completions?{query}", key=admin)
    assert reply.status == 200, reply.body
    results = [result for bucket in reply.json["data"] for result in bucket["results"]]
    assert {result["api_key_id"] for result in results} <= {key_id}
    fields = ("num_model_requests", "input_tokens", "output_tokens")
    requests, prompt, completion = (sum(result[field] for result in results) for field in fields)
    return requests, prompt, completion
