"""Whether the stores answer, fit this version and are set up for what they are used for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import time
from typing import Any, cast

from sqlalchemy import text

from server.commands.doctor.verdict import Verdict, fail, ok, warn
from server.stores.base import NewerSchema, StoreError
from server.stores.bucket_contents import BucketContents
from server.stores.files import Objects
from server.stores.redis import PREFIX
from server.stores.redis_pipe import RedisPipe
from server.stores.sql.database import Database
from server.stores.sql.place import place_of
from server.stores.sql.schema import refuse_newer, schema_of
from server.stores.sql.store import SqlStore
from server.stores.sql.tables import SCHEMA

TIMEOUT_S = 5.0
BUCKET_S = 15.0


@dataclass(frozen=True, slots=True)
class DurableFacts:
    """`problem`: why it cannot be asked. `schema`: None of an empty one. `has_keys`: None where that is not known."""

    name: str
    problem: str = ""
    exists: bool = True
    schema: str | None = None
    has_keys: bool | None = None
    ahead_s: float | None = None


@dataclass(frozen=True, slots=True)
class VolatileFacts:
    """`policy`: of `maxmemory`, and empty where there is no bound."""

    name: str
    problem: str = ""
    version: str = ""
    policy: str = ""
    ahead_s: float | None = None


def judge_durable(facts: DurableFacts) -> Verdict:
    name = facts.name
    if facts.problem:
        return fail("durable store", facts.problem, "start it, or correct stores.durable")
    if not facts.exists:
        return ok("durable store", f"{name} is made at the first start")
    if facts.schema is None:
        return ok("durable store", f"{name} is empty: the first start makes its tables")
    try:
        refuse_newer(name, facts.schema)
    except NewerSchema as error:
        return fail("durable store", str(error))
    if facts.schema != SCHEMA:
        return warn(
            "durable store",
            f"{name} has schema {facts.schema}: the next start brings it to {SCHEMA}, and there is no way back",
            "back it up first",
        )
    return ok("durable store", f"{name} answers, schema {SCHEMA}")


def judge_volatile(facts: VolatileFacts | None, workers: int) -> Iterator[Verdict]:
    """None: counters are in memory."""
    if facts is None:
        share = " (of which each worker has its share)" if workers > 1 else ""
        yield ok("volatile store", f"counters of limits{share} are in memory")
        return
    if facts.problem:
        yield fail("volatile store", facts.problem, "start it, or correct stores.volatile")
        return
    yield ok("volatile store", f"{facts.name} answers and can be written, version {facts.version or 'unknown'}")
    if facts.policy and facts.policy != "noeviction":
        yield warn(
            "volatile store",
            f"{facts.name} forgets counters when its memory is full (maxmemory-policy {facts.policy})",
            "set maxmemory-policy noeviction",
        )


def judge_bucket(problem: str | None) -> Iterator[Verdict]:
    """None: files are in a folder."""
    if problem:
        yield fail("files", problem, "look at files.storage and at AWS_* in the environment; the bucket must be there")
    elif problem is not None:
        yield ok("files", "the bucket of files.storage can be read, written and written on a condition")


async def probe_bucket(url: str | None) -> str | None:
    """Writes and removes an object of its own; why that cannot be done."""
    if url is None:
        return None
    try:
        bucket: Objects = import_module("server.stores.bucket").Bucket(url, tries=0)
        async with asyncio.timeout(BUCKET_S):
            await BucketContents(bucket, Path()).probe()
    except StoreError as error:
        return str(error)
    except TimeoutError:
        return "the bucket of the files does not answer"
    return ""


async def probe_durable(url: str, home: Path) -> DurableFacts:
    """Neither made nor migrated."""
    name = "stores.durable"
    try:
        place = place_of(url, home)
        name = place.name
        if place.file is not None and not place.file.exists():
            return DurableFacts(name, exists=False, has_keys=False)
        database = Database(place, TIMEOUT_S)
        try:
            return await _ask_durable(database)
        finally:
            await database.close()
    except StoreError as error:
        return DurableFacts(name, str(error))


async def _ask_durable(database: Database) -> DurableFacts:
    ahead: float | None = None
    async with database.reading() as connection:
        schema = await schema_of(connection)
        if not database.is_sqlite:
            before = time()
            theirs = (await connection.execute(text("SELECT extract(epoch FROM clock_timestamp())"))).scalar_one()
            ahead = float(theirs) - (before + time()) / 2
    keys = None
    if schema == SCHEMA:
        keys = bool(await SqlStore(database).keys(limit=1, revoked=False))
    elif schema is None:
        keys = False
    return DurableFacts(database.name, schema=schema, has_keys=keys, ahead_s=ahead)


async def probe_volatile(url: str) -> VolatileFacts | None:
    """Writes what the service itself writes to see whether it can."""
    if url == "memory://":
        return None
    try:
        pipe = RedisPipe(url)
    except ValueError:
        return VolatileFacts("stores.volatile", "stores.volatile is not the URL of a Valkey or Redis")
    name = "the server of stores.volatile"
    try:
        before = time()
        seconds, micros = await pipe.ask("TIME")
        ahead = int(seconds) + int(micros) / 1e6 - (before + time()) / 2
        await pipe.ask("SET", f"{PREFIX}probe", 1, "EX", 60)
        told = fields_of(await pipe.ask("INFO"))
    except StoreError as error:
        return VolatileFacts(name, str(error))
    finally:
        await pipe.close()
    version = told.get("valkey_version") or told.get("redis_version", "")
    policy = told.get("maxmemory_policy", "") if told.get("maxmemory", "0") != "0" else ""
    return VolatileFacts(name, "", version, policy, ahead)


def fields_of(info: Any) -> dict[str, str]:
    """Of INFO: as the client's library parsed it, or as the server wrote it."""
    if isinstance(info, dict):
        return {str(name): str(value) for name, value in cast("dict[Any, Any]", info).items()}
    lines = bytes(info).decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
