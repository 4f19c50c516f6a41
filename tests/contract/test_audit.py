"""What every `AuditLog` does, and that nobody changes it unseen."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from server.config import Limit
from server.stores.base import AuditLog, StoreError
from server.stores.records import Actor, ServiceAccountRecord
from server.stores.sql.store import SqlStore
from tests.contract.test_directory import GRANTS, ME, a_key, an_admin_key
from tests.services.durable import Backend

SHELL = Actor("command_line", "root")


async def filled(store: SqlStore) -> str:
    """Ten records over two projects and two actors; the id of the first project."""
    one = await store.create_project("one", ME)  # 1
    two = await store.create_project("two", SHELL)  # 2
    await store.create_key(a_key(one.id, grants=GRANTS), ME)  # 3
    account = ServiceAccountRecord("svc_acct_1", two.id, "robot", 1)
    await store.create_service_account(account, a_key(two.id, 2, service_account_id=account.id), ME)  # 4, 5
    changes = {"name": "1", "policy": "strict", "limits": Limit(requests_per_day=9)}
    await store.change_project(one.id, lambda before: replace(before, **changes), SHELL)  # 6, 7
    await store.rotate_key("key_1", a_key(one.id, 3), 60, ME)  # 8, 9
    await store.create_admin_key(an_admin_key(), SHELL)  # 10
    return one.id


async def test_what_is_in_it(store: SqlStore) -> None:
    log: AuditLog = store
    one = await filled(store)
    records = (await log.audit(limit=100))[::-1]
    assert [record.seq for record in records] == list(range(1, 11))
    assert [record.event for record in records] == [
        "project.created",
        "project.created",
        "api_key.created",
        "service_account.created",
        "api_key.created",
        "project.updated",
        "rate_limit.updated",
        "api_key.created",
        "api_key.updated",
        "tenant.admin_api_key.created",
    ]
    assert [record.actor for record in records if record.seq in {1, 2}] == [ME, SHELL]
    assert len({record.id for record in records}) == 10
    first, renamed, limited, rotated = (records[seq - 1] for seq in (1, 6, 7, 9))
    assert (first.project_id, first.subject_id, first.details) == (one, one, {"name": "one"})
    assert renamed.details == {"name": "1", "policy": "strict"}
    assert limited.details == {"limits": {"requests_per_day": 9}}
    assert rotated.details == {"expires_at": rotated.at + 60, "rotated_to": "key_3"}
    key = records[2]
    assert (key.project_id, key.subject_id) == (one, "key_1")
    assert key.details["limits"] == {"tokens_per_minute": 1000, "spend_per_month": 2.5}
    assert key.details["note"] == GRANTS.note
    assert records[9].project_id is None
    text = str(records)
    for secret in (a_key("").digest, a_key("").lookup, an_admin_key().digest, an_admin_key().lookup):
        assert secret not in text


async def test_what_changes_nothing_leaves_no_record(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    await store.create_key(a_key(project.id), ME)
    await store.change_project(project.id, lambda before: before, ME)
    await store.change_key("key_1", lambda before: before, ME)
    await store.touch_keys({"key_1": 7})
    assert len(await store.audit()) == 2


async def test_deletions(store: SqlStore) -> None:
    await filled(store)
    project = (await store.key(None, "key_2")).project_id
    await store.delete_service_account(project, "svc_acct_1", ME)
    await store.delete_admin_key("key_a1", ME)
    await store.archive_project(project, ME)
    newest = (await store.audit(limit=4))[::-1]
    assert [(record.event, record.subject_id) for record in newest] == [
        ("service_account.deleted", "svc_acct_1"),
        ("api_key.deleted", "key_2"),
        ("tenant.admin_api_key.deleted", "key_a1"),
        ("project.archived", project),
    ]


async def test_filters(store: SqlStore) -> None:
    one = await filled(store)

    async def seqs(**filters: object) -> list[int]:
        return [record.seq for record in await store.audit(**filters)]  # type: ignore[arg-type]

    assert await seqs(events=["project.created"]) == [2, 1]
    assert await seqs(events=["project.created", "rate_limit.updated"]) == [7, 2, 1]
    assert await seqs(project_ids=[one]) == [9, 8, 7, 6, 3, 1]
    assert await seqs(actor_ids=["root"]) == [10, 7, 6, 2]
    assert await seqs(actor_ids=["root"], project_ids=[one]) == [7, 6]
    at = (await store.audit())[0].at
    assert await seqs(since=at + 1000) == [] == await seqs(until=at - 1000)
    assert len(await seqs(since=at - 1000, until=at)) == 10
    assert await seqs(since=at, limit=1) == [10], "both ends count"


async def test_pages(store: SqlStore) -> None:
    await filled(store)
    ids = {record.seq: record.id for record in await store.audit(limit=100)}

    async def seqs(**filters: object) -> list[int]:
        return [record.seq for record in await store.audit(**filters)]  # type: ignore[arg-type]

    assert await seqs(limit=3) == [10, 9, 8]
    assert await seqs(after=ids[8], limit=3) == [7, 6, 5]
    assert await seqs(before=ids[7], limit=2) == [9, 8], "those next to it, not the newest"
    assert await seqs(after=ids[9], before=ids[6]) == [8, 7]
    assert await seqs(after=ids[1]) == [] == await seqs(before=ids[10])


async def test_whole_chain(store: SqlStore) -> None:
    assert await store.verify_audit() is None, "an empty one"
    await filled(store)
    assert await store.verify_audit() is None


EDITS: dict[str, tuple[str, str]] = {
    "actor": ("UPDATE audit SET actor_id = 'somebody' WHERE seq = 4", "record 4 "),
    "time": ("UPDATE audit SET at = at - 1 WHERE seq = 1", "record 1 "),
    "details": ("""UPDATE audit SET details = '{"name":"three"}' WHERE seq = 2""", "record 2 "),
    "details that are none": ("UPDATE audit SET details = 'x' WHERE seq = 2", "record 2 "),
    "hash": ("UPDATE audit SET hash = previous WHERE seq = 5", "record 5 "),
    "project": ("UPDATE audit SET project_id = NULL WHERE seq = 6", "record 6 "),
    "first removed": ("DELETE FROM audit WHERE seq = 1", "record 1 is missing"),
    "one removed": ("DELETE FROM audit WHERE seq = 5", "record 5 is missing"),
    "last removed": ("DELETE FROM audit WHERE seq = 10", "record 10 is missing"),
    "two last removed": ("DELETE FROM audit WHERE seq > 8", "record 9 is missing"),
    "all removed": ("DELETE FROM audit", "record 1 is missing"),
    "swapped": ("UPDATE audit SET seq = CASE seq WHEN 9 THEN 11 ELSE seq END", "record 9 is missing"),
    "end moved": ("UPDATE chains SET hash = '0'", "record 10 is not the last"),
    "end moved back": ("UPDATE chains SET seq = 9", "record 10 was added"),
}


@pytest.mark.parametrize(("statement", "fault"), EDITS.values(), ids=list(EDITS))
async def test_tampering_is_found(store: SqlStore, backend: Backend, statement: str, fault: str) -> None:
    await filled(store)
    backend.sql(statement)
    found = await store.verify_audit()
    assert found is not None
    assert found.startswith(fault)
    assert "\n" not in found


async def test_a_row_put_in(store: SqlStore, backend: Backend) -> None:
    await filled(store)
    columns = "id, at, event, actor_kind, actor_id, actor_name, project_id, subject_id, details, previous, hash"
    copied = columns.replace("id,", "'audit_log-x',", 1)
    backend.sql(f"INSERT INTO audit (seq, {columns}) SELECT 11, {copied} FROM audit WHERE seq = 3")
    assert str(await store.verify_audit()).startswith("record 11 (audit_log-x) is not as it was written")


async def test_more_records_than_a_page(store: SqlStore, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.stores.sql.audit._PAGE", 5)  # ten records: the last page is empty
    await filled(store)
    assert await store.verify_audit() is None
    backend.sql("DELETE FROM audit WHERE seq = 7")
    assert str(await store.verify_audit()).startswith("record 7 is missing")


async def test_keys_of_a_change_that_failed(store: SqlStore) -> None:
    """What is rolled back takes its records with it, and the chain goes on."""
    project = await store.create_project("p", ME)
    account = ServiceAccountRecord("svc_acct_1", project.id, "robot", 1)
    await store.create_key(a_key(project.id), ME)
    with pytest.raises(StoreError, match="refused"):
        await store.create_service_account(account, a_key(project.id), ME)  # an id that is taken
    assert await store.service_accounts(project.id) == []
    await store.revoke_key(None, "key_1", ME)
    assert [record.seq for record in await store.audit()] == [3, 2, 1]
    assert await store.verify_audit() is None
