"""Verdicts on stores, and the probes on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.commands.doctor.stores import (
    DurableFacts,
    VolatileFacts,
    fields_of,
    judge_bucket,
    judge_durable,
    judge_volatile,
    probe_bucket,
    probe_durable,
    probe_volatile,
)
from server.stores.records import Actor
from server.stores.sql.opening import open_durable
from server.stores.sql.tables import SCHEMA, VERSION_TABLE
from tests.behaviour.processes import free_port
from tests.services.durable import Backend, PostgresBackend, SqliteBackend
from tests.services.postgres import Postgres, running
from tests.services.redis import RedisServer, running_server
from tests.services.s3 import S3Server, environment_of, s3_server

__all__ = ["s3_server"]

NEWER = "9999"
OLDER = "0000"


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        (DurableFacts("the database", schema=SCHEMA), "ok", f"the database answers, schema {SCHEMA}"),
        (DurableFacts("the database", exists=False), "ok", "is made at the first start"),
        (DurableFacts("the database"), "ok", "is empty: the first start makes its tables"),
        (DurableFacts("the database", schema=OLDER), "warn", f"brings it to {SCHEMA}"),
        (DurableFacts("the database", schema=NEWER), "fail", "was made by a newer Portico"),
        (DurableFacts("the database", "the database is not available: x"), "fail", "start it, or correct stores"),
    ],
)
def test_a_database(facts: DurableFacts, level: str, said: str) -> None:
    verdict = judge_durable(facts)
    assert verdict.level == level and said in verdict.line


@pytest.mark.parametrize(
    ("facts", "workers", "levels", "said"),
    [
        (None, 1, ["ok"], "counters of limits are in memory"),
        (None, 4, ["ok"], "of which each worker has its share"),
        (VolatileFacts("valkey", version="8.1.4"), 1, ["ok"], "valkey answers and can be written, version 8.1.4"),
        (VolatileFacts("valkey", policy="noeviction"), 1, ["ok"], "version unknown"),
        (VolatileFacts("valkey", policy="allkeys-lru"), 1, ["ok", "warn"], "set maxmemory-policy noeviction"),
        (VolatileFacts("valkey", "h:1: refused"), 1, ["fail"], "h:1: refused; start it, or correct stores.volatile"),
    ],
)
def test_counters(facts: VolatileFacts | None, workers: int, levels: list[str], said: str) -> None:
    verdicts = list(judge_volatile(facts, workers))
    assert [one.level for one in verdicts] == levels
    assert said in verdicts[-1].line


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A database of this version, with no key."""
    if request.param == "sqlite":
        made: Backend = SqliteBackend(tmp_path)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = PostgresBackend(server, server.new_database())

    async def make() -> None:
        await (await open_durable(made.url, made.home)).close()

    asyncio.run(make())
    return made


async def test_asking_a_database(backend: Backend) -> None:
    facts = await probe_durable(backend.url, backend.home)
    assert (facts.problem, facts.schema, facts.has_keys) == ("", SCHEMA, False)
    if isinstance(backend, PostgresBackend):
        assert facts.ahead_s == pytest.approx(0, abs=1)
    store = await open_durable(backend.url, backend.home)
    project = await store.create_project("p", Actor("command_line", "test", ""))
    assert project.id
    await store.close()
    backend.sql(f"UPDATE {VERSION_TABLE} SET version_num = '{NEWER}'")
    facts = await probe_durable(backend.url, backend.home)
    assert (facts.schema, facts.has_keys) == (NEWER, None)
    backend.sql(f"UPDATE {VERSION_TABLE} SET version_num = '{OLDER}'")
    assert (await probe_durable(backend.url, backend.home)).schema == OLDER
    assert backend.sql(f"SELECT version_num FROM {VERSION_TABLE}") == OLDER  # looked at, not migrated


async def test_a_postgresql_that_is_empty_refuses_or_is_away(postgres: Postgres, tmp_path: Path) -> None:
    empty = await probe_durable(postgres.url(postgres.new_database()), tmp_path)
    assert (empty.problem, empty.schema, empty.has_keys) == ("", None, False)
    refused = await probe_durable(postgres.url(password="wrong-secret"), tmp_path)
    assert "password authentication failed" in refused.problem and "wrong-secret" not in refused.problem
    away = await probe_durable(f"postgresql://u:s3cr3t@127.0.0.1:{free_port()}/x", tmp_path)
    assert "is not available" in away.problem and "s3cr3t" not in away.problem


async def test_a_file_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    assert not (await probe_durable("sqlite:///var/portico.db", tmp_path)).exists
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - quick
    (tmp_path / "portico.db").write_bytes(b"not a database, though it is long enough to be one" * 100)
    assert "not a database" in (await probe_durable("sqlite:///portico.db", tmp_path)).problem


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    yield from running_server(tmp_path, "s3cr3t")


async def test_asking_for_counters(server: RedisServer) -> None:
    facts = await probe_volatile(server.url)
    assert facts is not None
    assert (facts.problem, facts.policy) == ("", "")
    assert facts.version[0].isdigit() and facts.ahead_s == pytest.approx(0, abs=1)
    with server.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    facts = await probe_volatile(server.url)
    assert facts is not None and facts.policy == "allkeys-lru"
    with server.client() as client:
        client.replicaof("127.0.0.1", free_port())
    facts = await probe_volatile(server.url)
    assert facts is not None and "read only replica" in facts.problem


async def test_counters_that_refuse_or_are_away(server: RedisServer) -> None:
    refused = await probe_volatile(server.url.replace("s3cr3t", "wr0ng"))
    assert refused is not None and refused.problem and "wr0ng" not in refused.problem
    server.stop()
    away = await probe_volatile(server.url)
    assert away is not None and str(server.port) in away.problem and "s3cr3t" not in away.problem
    assert await probe_volatile("memory://") is None


def test_info_as_the_server_writes_it() -> None:
    assert fields_of(b"# Server\r\nredis_version:8.0.1\r\nos:Linux\r\n") == {"redis_version": "8.0.1", "os": "Linux"}


def test_a_bucket() -> None:
    assert list(judge_bucket(None)) == []
    (good,), (bad,) = judge_bucket(""), judge_bucket("the bucket of the files is not there")
    assert (good.level, bad.level) == ("ok", "fail")
    assert "is not there; look at files.storage" in bad.line


def test_the_probe_of_a_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with environment_of(s3_server):
        assert asyncio.run(probe_bucket(s3_server.bucket())) == ""
        assert "is not there" in (asyncio.run(probe_bucket("s3://nobody-made-this-one")) or "")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        assert "does not answer" in (asyncio.run(probe_bucket("s3://some-bucket")) or "")
    assert asyncio.run(probe_bucket(None)) is None
