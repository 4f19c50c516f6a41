"""What the administration asks of a store, on every backend: revoked keys left out, expiry changed, subjects."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from server.api.admin.administration import Store
from server.stores.base import NotAllowed
from server.stores.sql.store import SqlStore
from tests.contract.test_directory import ME, a_key


async def test_lists_without_revoked_keys(store: SqlStore) -> None:
    asked: Store = store
    project = await asked.create_project("one", ME)
    for number in range(1, 6):
        await asked.create_key(a_key(project.id, number), ME)
    await asked.revoke_key(project.id, "key_4", ME)
    await asked.revoke_key(project.id, "key_2", ME)
    assert [key.id for key in await asked.keys(project.id, limit=2, revoked=False)] == ["key_5", "key_3"]
    assert [key.id for key in await asked.keys(after="key_4", revoked=False)] == ["key_3", "key_1"]
    assert [key.id for key in await asked.keys(after="key_4")] == ["key_3", "key_2", "key_1"]


async def test_a_key_is_given_more_time(store: SqlStore) -> None:
    project = await store.create_project("one", ME)
    await store.create_key(a_key(project.id, expires_at=4_000_000_000), ME)

    async def expiring(at: int | None) -> int | None:
        return (await store.change_key("key_1", lambda before: replace(before, expires_at=at), ME)).expires_at

    assert await expiring(4_000_000_001) == 4_000_000_001
    assert await expiring(None) is None
    assert (await store.key(None, "key_1")).expires_at is None
    assert [one.details for one in await store.audit(limit=2)] == [{"expires_at": None}, {"expires_at": 4_000_000_001}]
    await expiring(1)
    with pytest.raises(NotAllowed):
        await expiring(None)


async def test_the_audit_log_by_subject(store: SqlStore) -> None:
    one, two = await store.create_project("one", ME), await store.create_project("two", ME)
    await store.archive_project(one.id, ME)
    found = await store.audit(subject_ids=[one.id])
    assert [record.event for record in found] == ["project.archived", "project.created"]
    assert len(await store.audit(subject_ids=[one.id, two.id], events=["project.created"])) == 2
