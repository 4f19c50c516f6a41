"""Opening the durable store: its tables, its files, two starts at once, newer databases, wrong addresses."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from server.config import Limit
from server.stores import migrations
from server.stores.base import NewerSchema, StoreDown, StoreError
from server.stores.chain import START
from server.stores.records import Actor, AuditRecord, ChainEnds, ProjectRecord
from server.stores.sql.chained import linked
from server.stores.sql.database import Database
from server.stores.sql.opening import open_durable
from server.stores.sql.place import place_of
from server.stores.sql.store import connect_durable
from server.stores.sql.tables import METADATA, SCHEMA, VERSION_TABLE
from tests.services.durable import Backend, PostgresBackend, SqliteBackend
from tests.services.postgres import PASSWORD, Postgres

ME = Actor("command_line", "root")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A place where there is no database, or nothing in it."""
    if request.param == "sqlite":
        return SqliteBackend(tmp_path)
    server: Postgres = request.getfixturevalue("postgres")
    return PostgresBackend(server, server.new_database())


def test_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [SCHEMA]
    numbers = sorted(revision.revision for revision in script.walk_revisions())
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)], "newer ones are told by their number"


async def test_tables_are_as_migrations_leave_them(backend: Backend) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)

    await (await open_durable(backend.url, backend.home)).close()
    database = Database(place_of(backend.url, backend.home))
    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_fresh_and_again(empty: Backend) -> None:
    store = await open_durable(empty.url, empty.home)
    secret = await store.server_secret()
    project = await store.create_project("p", ME)
    await store.close()
    for opened in (open_durable, connect_durable):
        store = await opened(empty.url, empty.home)
        assert await store.server_secret() == secret
        assert await store.projects() == [project]
        assert await store.verify_audit() is None
        await store.close()


async def test_records_outlive_the_second_migration(empty: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database as the first version left it, with a chain in it."""

    def first(connection: Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "os")
        command.upgrade(config, "0001")

    database = Database(place_of(empty.url, empty.home))
    async with database.writing() as connection:
        await connection.run_sync(first)
    await database.close()
    record = AuditRecord(0, "audit_log-1", 1, "project.created", ME, "proj_1", "proj_1", {"name": "p"}, "", "")
    (link,) = linked([record], 0, START)
    empty.sql(
        "INSERT INTO projects (id, name, created_at, weight, limits, model_limits)"
        """ VALUES ('proj_1', 'p', 1, 2.0, '{"requests_per_day":3}', '{}')"""
    )
    empty.sql(
        "INSERT INTO audit VALUES (1, 'audit_log-1', 1, 'project.created', 'command_line', 'root', '', 'proj_1',"
        f""" 'proj_1', '{{"name":"p"}}', '{START}', '{link.hash}')"""
    )
    empty.sql(f"UPDATE state SET audit_seq = 1, audit_hash = '{link.hash}'")
    secret = empty.sql("SELECT hex(secret) FROM state" if isinstance(empty, SqliteBackend) else
                       "SELECT encode(secret, 'hex') FROM state").lower()  # fmt: skip
    store = await open_durable(empty.url, empty.home)
    assert (await store.server_secret()).hex() == secret.strip()
    assert await store.projects() == [
        ProjectRecord("proj_1", "p", 1, weight=2.0, limits=Limit(requests_per_day=3), policy=None)
    ]
    assert await store.audit() == [link]
    await store.create_project("q", ME)
    assert await store.verify_audit() is None
    assert await store.chain_ends("decisions") == ChainEnds(0, START, 0, START)
    await store.close()


async def test_several_starts_at_once(empty: Backend) -> None:
    """In processes of their own, as replicas are."""
    program = (
        "import asyncio, sys; from pathlib import Path; from server.stores.sql.opening import open_durable\n"
        "async def main():\n"
        "    store = await open_durable(sys.argv[1], Path(sys.argv[2]))\n"
        "    print((await store.server_secret()).hex())\n"
        "    await store.close()\n"
        "asyncio.run(main())"
    )
    arguments = (sys.executable, "-c", program, empty.url, str(empty.home))
    pipe = subprocess.PIPE
    processes = [await asyncio.create_subprocess_exec(*arguments, stdout=pipe, stderr=pipe) for _ in range(2)]
    ends = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert len({out for out, _err in ends}) == 1
    in_here = await asyncio.gather(*(open_durable(empty.url, empty.home) for _ in range(4)))
    assert {(await store.server_secret()).hex() for store in in_here} == {ends[0][0].decode().strip()}
    for store in in_here:
        await store.close()


@pytest.mark.parametrize("opened", [open_durable, connect_durable])
async def test_newer_schema_is_refused(empty: Backend, opened: Any) -> None:
    await (await open_durable(empty.url, empty.home)).close()
    empty.sql(f"UPDATE {VERSION_TABLE} SET version_num = '0999'")
    with pytest.raises(NewerSchema) as error:
        await opened(empty.url, empty.home)
    line = str(error.value)
    assert "0999" in line
    assert SCHEMA in line
    assert "start the newer version" in line
    assert "\n" not in line
    assert PASSWORD not in line
    assert empty.sql(f"SELECT version_num FROM {VERSION_TABLE}") == "0999"


async def test_a_worker_does_not_migrate(empty: Backend) -> None:
    with pytest.raises(StoreError, match="has not been migrated"):
        await connect_durable(empty.url, empty.home)


def test_a_worker_does_not_load_what_migrates() -> None:
    program = "import sys, server.stores.sql.store; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_failed_migration_leaves_nothing(empty: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alembic.op.bulk_insert", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await open_durable(empty.url, empty.home)
    monkeypatch.undo()
    tables = {
        SqliteBackend: "SELECT count(*) FROM sqlite_master",
        PostgresBackend: "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'",
    }
    assert empty.sql(tables[type(empty)]) == "0"
    await (await open_durable(empty.url, empty.home)).close()


# Files of SQLite


async def test_files_are_the_owners(tmp_path: Path) -> None:
    home = tmp_path / "home"
    store = await open_durable("sqlite:///var/deep/portico.db", home)
    await store.create_project("p", ME)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*")}
    assert modes.pop("var") == modes.pop("deep") == 0o700
    assert set(modes) >= {"portico.db", "portico.db-wal", "portico.db.lock"}
    assert set(modes.values()) == {0o600}
    await store.close()


async def test_absolute_path(tmp_path: Path) -> None:
    store = await open_durable(f"sqlite:///{tmp_path}/else where%20/x.db", tmp_path / "home")
    await store.close()
    assert (tmp_path / "else where%20/x.db").is_file()
    assert not (tmp_path / "home").exists()


async def test_settings_of_sqlite(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path)
    await (await open_durable(backend.url, backend.home)).close()
    database = Database(place_of(backend.url, backend.home))
    async with database.writing() as connection:
        names = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        values = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in names]
    await database.close()
    assert values == ["wal", 1, 1, 4000]


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"a letter to a friend" * 100)
    with pytest.raises(StoreError, match=r"x\.db is not available: file is not a database"):
        await open_durable("sqlite:///x.db", tmp_path)


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    with pytest.raises(StoreDown, match=r"is not available: (Not a directory|File exists)"):
        await open_durable("sqlite:///var/portico.db", tmp_path)


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://portico:se/cret@db.example/portico",
        "postgresql://portico:se#cret@db.example/portico",
        "postgresql://portico:se?cret@db.example/portico",
        "mysql://portico:secret@db.example/portico",
        "sqlite:///",
    ],
)
async def test_wrong_url(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        await open_durable(url, tmp_path)
    assert "cret" not in str(error.value)
    assert "\n" not in str(error.value)


async def test_wrong_password(postgres: Postgres, tmp_path: Path) -> None:
    with pytest.raises(StoreDown) as error:
        await open_durable(postgres.url(password="wrong-horse"), tmp_path)
    line = str(error.value)
    assert line == (
        f"the database 127.0.0.1:{postgres.port}/postgres is not available: "
        'password authentication failed for user "portico"'
    )


async def test_options_of_libpq(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.url(postgres.new_database())
    await (await open_durable(f"{url}?sslmode=prefer&application_name=mine", tmp_path)).close()
    with pytest.raises(StoreDown):
        await open_durable(f"{url}?sslmode=require", tmp_path)
