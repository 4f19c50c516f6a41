"""What every `Directory` does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from server.config import Limit
from server.stores.base import Directory, NotAllowed, NotThere, StoreError
from server.stores.records import (
    Actor,
    AdminKeyRecord,
    KeyGrants,
    KeyRecord,
    ProjectRecord,
    ServiceAccountRecord,
)
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore
from tests.contract.ear import listening
from tests.services.durable import Backend

ME = Actor("admin_key", "key_admin", "me")
GRANTS = KeyGrants(
    models=("gpt-oss-20b",),
    endpoints=("chat.completions",),
    limits=Limit(tokens_per_minute=1000, spend_per_month=2.5),
    priority="batch",
    reasoning="hidden",
    policy="strict",
    note="灯笼 – for the lab",
)


def a_key(project: str, number: int = 1, **fields: Any) -> KeyRecord:
    made = KeyRecord(
        id=f"key_{number}",
        project_id=project,
        name=f"key {number}",
        lookup=f"lookup{number:010}",
        digest=f"{number:064x}",
        redacted="sk-portico-look...wxyz",
        created_at=1_700_000_000,
    )
    return msgspec.structs.replace(made, **fields)


def an_admin_key(number: int = 1) -> AdminKeyRecord:
    return AdminKeyRecord(f"key_a{number}", "boss", f"admin{number}", "d" * 64, "sk-portico-admin-a...b", 1, 2_000)


async def refused(kind: type[StoreError], work: Awaitable[object]) -> None:
    with pytest.raises(kind) as error:
        await work
    assert "\n" not in str(error.value)


async def test_keys_that_expire_soon(store: SqlStore) -> None:
    project = (await store.create_project("one", ME)).id
    ends = [None, 999, 1000, 1500, 2000, 2001, 1500]
    for number, end in enumerate(ends):
        await store.create_key(a_key(project, number, expires_at=end), ME)
    await store.revoke_key(project, "key_6", ME)
    assert await store.expiring_keys(1000, 2000) == 3
    assert await store.expiring_keys(2002, 3000) == 0


# Projects


async def test_secret_is_made_once(store: SqlStore, backend: Backend) -> None:
    directory: Directory = store
    secret = await directory.server_secret()
    assert len(secret) == 32
    assert secret != bytes(32)
    other = await open_durable(backend.url, backend.home)
    assert await other.server_secret() == secret
    await other.close()


async def test_project_is_kept(store: SqlStore) -> None:
    made = await store.create_project("Lantern", ME)
    assert made.id.startswith("proj_")
    assert await store.project(made.id) == made
    changed = msgspec.structs.replace(
        made,
        name="灯笼",
        weight=2.5,
        limits=Limit(requests_per_minute=3),
        model_limits={"gpt-oss-20b": Limit(tokens_per_day=5, spend_per_month=0.25)},
        policy="strict",
        created_at=0,  # is not for changing, nor is the next
        archived_at=1,
    )
    kept = msgspec.structs.replace(changed, created_at=made.created_at, archived_at=None)
    assert await store.change_project(made.id, lambda before: changed if before == made else before, ME) == kept
    assert await store.project(made.id) == kept
    await store.create_key(a_key(made.id), ME)
    assert await store.find_key(a_key("").lookup) == (a_key(made.id), kept)
    assert (await store.change_project(made.id, lambda one: replace(one, policy=None), ME)).policy is None


async def test_a_change_that_fails_changes_nothing(store: SqlStore) -> None:
    made = await store.create_project("p", ME)
    await store.create_key(a_key(made.id), ME)
    with pytest.raises(ZeroDivisionError):
        await store.change_project(made.id, lambda before: replace(before, weight=1 / 0), ME)
    with pytest.raises(ZeroDivisionError):
        await store.change_key("key_1", lambda before: replace(before, name=str(1 / 0)), ME)
    assert await store.project(made.id) == made
    assert len(await store.audit()) == 2


async def test_of_changes_at_once_none_is_lost(store: SqlStore, backend: Backend) -> None:
    """Each adds to what is there; from two processes."""
    made = await store.create_project("p", ME)
    await store.create_key(a_key(made.id), ME)
    other = await open_durable(backend.url, backend.home)

    def limit(number: int) -> Callable[[ProjectRecord], ProjectRecord]:
        more = {f"m{number}": Limit(requests_per_day=number + 1)}
        return lambda before: replace(before, model_limits=before.model_limits | more)

    def lengthen(before: KeyRecord) -> KeyRecord:
        return replace(before, name=before.name + "+")

    await asyncio.gather(
        *((store, other)[number % 2].change_project(made.id, limit(number), ME) for number in range(20)),
        *((store, other)[number % 2].change_key("key_1", lengthen, ME) for number in range(20)),
    )
    assert set((await store.project(made.id)).model_limits) == {f"m{number}" for number in range(20)}
    assert (await store.key(None, "key_1")).name == "key 1" + "+" * 20
    await other.close()


async def test_archived_project(store: SqlStore) -> None:
    made = await store.create_project("old", ME)
    await store.create_key(a_key(made.id), ME)
    gone = await store.archive_project(made.id, ME)
    assert gone.archived_at is not None
    assert await store.archive_project(made.id, ME) == gone
    assert await store.projects() == []
    assert await store.projects(archived=True) == [gone] == [await store.project(made.id)]
    found = await store.find_key("lookup0000000001")
    assert found is not None
    assert found[1].archived_at == gone.archived_at
    await refused(NotAllowed, store.change_project(made.id, lambda before: before, ME))
    await refused(NotAllowed, store.create_key(a_key(made.id, 2), ME))
    await refused(NotAllowed, store.create_service_account(ServiceAccountRecord("s", made.id, "s", 1), None, ME))
    assert [key.id for key in await store.keys()] == ["key_1"]


async def test_missing_project(store: SqlStore) -> None:
    await refused(NotThere, store.project("proj_0"))
    await refused(NotThere, store.change_project("proj_0", lambda before: before, ME))
    await refused(NotThere, store.archive_project("proj_0", ME))
    await refused(NotThere, store.create_key(a_key("proj_0"), ME))
    await refused(NotThere, store.create_service_account(ServiceAccountRecord("s", "proj_0", "s", 1), None, ME))
    assert await store.audit() == []


async def test_pages_are_newest_first(store: SqlStore) -> None:
    made = [await store.create_project(f"p{number}", ME) for number in range(5)][::-1]
    assert await store.projects() == made
    assert await store.projects(limit=2) == made[:2]
    assert await store.projects(after=made[1].id, limit=2) == made[2:4]
    assert await store.projects(after=made[4].id) == []


# Keys


async def test_key_is_kept(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    key = a_key(project.id, grants=GRANTS, expires_at=9_000_000_000, last_used_at=5)
    await store.create_key(key, ME)
    assert await store.key(project.id, key.id) == key == await store.key(None, key.id)
    assert await store.find_key(key.lookup) == (key, project)
    assert await store.find_key("another") is None
    await refused(NotThere, store.key("proj_0", key.id))
    await refused(NotThere, store.key(project.id, "key_0"))


async def test_lists_of_keys(store: SqlStore) -> None:
    one, two = await store.create_project("1", ME), await store.create_project("2", ME)
    for number in range(1, 5):
        await store.create_key(a_key((two, one)[number % 2].id, number), ME)
    await store.revoke_key(one.id, "key_3", ME)
    assert [key.id for key in await store.keys()] == ["key_4", "key_3", "key_2", "key_1"]
    assert [key.id for key in await store.keys(one.id)] == ["key_3", "key_1"]
    assert [key.id for key in await store.keys(one.id, after="key_3")] == ["key_1"]
    assert [key.id for key in await store.keys(after="key_4", limit=2)] == ["key_3", "key_2"]


async def test_the_same_look_up_twice(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    await store.create_key(a_key(project.id), ME)
    with pytest.raises(StoreError) as error:
        await store.create_key(a_key(project.id, 2, lookup=a_key("").lookup), ME)
    assert a_key("").lookup not in str(error.value)
    assert len(await store.keys()) == 1
    assert len(await store.audit()) == 2, "what was not done is not in the log"


async def test_changed_key(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    await store.create_key(a_key(project.id), ME)
    changed = await store.change_key("key_1", lambda before: replace(before, name="new", grants=GRANTS, digest="x"), ME)
    assert changed == a_key(project.id, name="new", grants=GRANTS) == await store.key(None, "key_1")
    await refused(NotThere, store.change_key("key_0", lambda before: before, ME))


async def test_revoked_key(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    await store.create_key(a_key(project.id), ME)
    await refused(NotThere, store.revoke_key("proj_0", "key_1", ME))
    await refused(NotThere, store.revoke_key(None, "key_0", ME))
    gone = await store.revoke_key(project.id, "key_1", ME)
    assert gone.revoked_at is not None
    assert await store.revoke_key(None, "key_1", ME) == gone == await store.key(None, "key_1")
    assert [record.event for record in await store.audit()].count("api_key.deleted") == 1
    await refused(NotAllowed, store.change_key("key_1", lambda before: before, ME))
    await refused(NotAllowed, store.rotate_key("key_1", a_key(project.id, 2), 60, ME))


async def test_rotated_key(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    await store.create_key(a_key(project.id), ME)
    await store.rotate_key("key_1", a_key(project.id, 2), 3600, ME)
    old = await store.key(None, "key_1")
    at = (await store.audit())[0].at
    assert old.expires_at == at + 3600
    assert old.revoked_at is None
    assert (await store.key(None, "key_2")).expires_at is None
    await store.rotate_key("key_1", a_key(project.id, 3), 7200, ME)
    assert (await store.key(None, "key_1")).expires_at == at + 3600, "an overlap does not lengthen a life"
    await store.rotate_key("key_2", a_key(project.id, 4), 0, ME)
    await refused(NotAllowed, store.rotate_key("key_2", a_key(project.id, 5), 0, ME))
    await refused(NotThere, store.rotate_key("key_0", a_key(project.id, 5), 0, ME))


async def test_last_use_only_grows(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    await store.create_key(a_key(project.id), ME)
    await store.create_admin_key(an_admin_key(), ME)
    await store.touch_keys({"key_1": 50, "key_a1": 60, "key_0": 70})
    await store.touch_keys({"key_1": 40, "key_a1": 61})
    await store.touch_keys({})
    assert (await store.key(None, "key_1")).last_used_at == 50
    assert (await store.admin_key("key_a1")).last_used_at == 61


# Service accounts


async def test_service_account(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    account = ServiceAccountRecord("svc_acct_1", project.id, "robot", 1_700_000_000, "owner")
    await store.create_service_account(account, a_key(project.id, service_account_id=account.id), ME)
    await store.create_key(a_key(project.id, 2, service_account_id=account.id), ME)
    await store.create_key(a_key(project.id, 3), ME)
    assert await store.service_account(project.id, account.id) == account
    await refused(NotThere, store.service_account("proj_0", account.id))
    await refused(NotThere, store.delete_service_account("proj_0", account.id, ME))
    await refused(NotThere, store.create_key(a_key(project.id, 4, service_account_id="svc_acct_0"), ME))
    changed = await store.change_service_account(
        project.id, account.id, lambda before: replace(before, name="r2", created_at=0), ME
    )
    assert changed == replace(account, name="r2") == await store.service_account(project.id, account.id)
    assert await store.change_service_account(project.id, account.id, lambda before: before, ME) == changed
    (updated,) = await store.audit(events=["service_account.updated"])
    assert (updated.subject_id, updated.details) == (account.id, {"name": "r2"})
    await refused(NotThere, store.change_service_account("proj_0", account.id, lambda before: before, ME))
    await store.delete_service_account(project.id, account.id, ME)
    revoked = {key.id: key.revoked_at is not None for key in await store.keys()}
    assert revoked == {"key_1": True, "key_2": True, "key_3": False}
    await refused(NotThere, store.service_account(project.id, account.id))
    await refused(NotThere, store.delete_service_account(project.id, account.id, ME))
    await refused(NotThere, store.create_key(a_key(project.id, 4, service_account_id=account.id), ME))
    assert await store.service_accounts(project.id) == []


async def test_lists_of_service_accounts(store: SqlStore) -> None:
    project, other = await store.create_project("p", ME), await store.create_project("q", ME)
    for number in range(3):
        await store.create_service_account(ServiceAccountRecord(f"s{number}", project.id, "s", 1), None, ME)
    await store.create_service_account(ServiceAccountRecord("t", other.id, "t", 1), None, ME)
    assert [one.id for one in await store.service_accounts(project.id)] == ["s2", "s1", "s0"]
    assert [one.id for one in await store.service_accounts(project.id, after="s2", limit=1)] == ["s1"]


# Admin keys


async def test_admin_keys(store: SqlStore) -> None:
    one, two = an_admin_key(), an_admin_key(2)
    await store.create_admin_key(one, ME)
    await store.create_admin_key(two, ME)
    assert await store.admin_keys() == [two, one]
    assert await store.admin_keys(after=two.id) == [one]
    assert await store.admin_key(one.id) == one == await store.find_admin_key(one.lookup)
    await store.delete_admin_key(one.id, ME)
    assert await store.find_admin_key(one.lookup) is None
    await refused(NotThere, store.admin_key(one.id))
    await refused(NotThere, store.delete_admin_key(one.id, ME))


# Changes of several processes


async def test_changes_at_once(store: SqlStore, backend: Backend) -> None:
    """Each store is as another process: connections of its own."""
    project = await store.create_project("p", ME)
    others = [await open_durable(backend.url, backend.home) for _ in range(3)]
    stores = (store, *others)
    await asyncio.gather(
        *(stores[number % 4].create_key(a_key(project.id, number), ME) for number in range(40)),
        *(one.touch_keys({f"key_{number}": number for number in range(40)}) for one in stores),
    )
    assert len(await store.keys()) == 40
    revoked = await asyncio.gather(*(one.revoke_key(None, "key_7", ME) for one in stores))
    assert len({key.revoked_at for key in revoked}) == 1
    archived, *_made = await asyncio.gather(
        store.archive_project(project.id, ME),
        *(stores[number % 4].create_key(a_key(project.id, number), ME) for number in range(50, 60)),
        return_exceptions=True,
    )
    assert isinstance(archived, ProjectRecord)
    log = await store.audit(limit=1000)
    assert [record.seq for record in log] == list(range(len(log), 0, -1))
    events = [record.event for record in log]
    assert events[0] == "project.archived" or "api_key.created" not in events[: events.index("project.archived")]
    assert events.count("api_key.deleted") == 1
    assert await store.verify_audit() is None
    for other in others:
        await other.close()


@pytest.mark.parametrize("whose", ["its own", "another's"])
async def test_watch(store: SqlStore, backend: Backend, whose: str) -> None:
    heard = asyncio.Event()
    watching = asyncio.create_task(store.watch(heard.set))
    await heard.wait()  # it listens
    other = await open_durable(backend.url, backend.home)
    changing = store if whose == "its own" else other
    heard.clear()
    project = await changing.create_project("p", ME)
    if whose == "its own":
        assert heard.is_set(), "at once"
    await heard.wait()
    heard.clear()
    await changing.create_key(a_key(project.id), ME)
    await heard.wait()
    watching.cancel()
    assert await asyncio.gather(watching, return_exceptions=True) != [None]
    await other.close()


async def test_watch_is_not_told_of_what_is_no_change(store: SqlStore, backend: Backend) -> None:
    other = await open_durable(backend.url, backend.home)
    async with listening(store) as ear:
        await other.touch_keys({"key_1": 5})
        with pytest.raises(NotThere):
            await other.archive_project("proj_0", ME)
        await ear.hears_nothing()
    await other.close()
