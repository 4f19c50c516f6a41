"""Decisions of moderation: they come with the usage of their calls, each once, in a chain of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from server.stores.base import StoreError
from server.stores.chain import START
from server.stores.records import Actor, AuditRecord, UsageRecord
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore
from tests.contract.ear import listening
from tests.contract.test_directory import ME
from tests.contract.test_ledger import T, a_call
from tests.services.durable import Backend


def a_decision(number: int, part: int = 0, **fields: Any) -> AuditRecord:
    call_id, matches = f"req_{number:032x}", [{"rule": "灯笼", "start": 3}]
    details = {"policy": "house", "version": 7, "direction": "input", "matches": matches, "look_ms": 0.125}
    made = AuditRecord(
        0, f"{call_id}-{part}", T + number, "moderation.block", Actor("key", f"key_{number % 2}", "app"),
        f"proj_{number % 3}", call_id, details, "", "",
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


def decided(number: int, parts: int = 1, **fields: Any) -> UsageRecord:
    """A call with so many decisions."""
    decisions = tuple(a_decision(number, part, **fields) for part in range(parts))
    return msgspec.structs.replace(a_call(number), decisions=decisions)


async def test_they_come_with_their_calls(store: SqlStore) -> None:
    await store.add_usage([decided(1, 2), a_call(2), decided(3)])
    records = (await store.audit(log="decisions", limit=10))[::-1]
    assert [(one.seq, one.id) for one in records] == [
        (1, a_decision(1).id), (2, a_decision(1, 1).id), (3, a_decision(3).id),
    ]  # fmt: skip
    assert records[0].previous == START
    for one, written in zip(records, (a_decision(1), a_decision(1, 1), a_decision(3)), strict=True):
        assert msgspec.structs.replace(one, seq=0, previous="", hash="") == written
    assert await store.audit() == [], "the log of changes is another one"
    assert await store.verify_audit("decisions") is None


async def test_each_once(store: SqlStore) -> None:
    await store.add_usage([decided(1, 2), decided(2)])
    await store.add_usage([decided(2), decided(3), decided(1, 2), decided(3)])
    assert [one.subject_id[-1] for one in await store.audit(log="decisions")] == ["3", "2", "1", "1"]
    assert await store.verify_audit("decisions") is None


async def test_many_at_once_from_several_processes(store: SqlStore, backend: Backend) -> None:
    other = await open_durable(backend.url, backend.home)
    batches = [[decided(number, 3) for number in range(start, start + 60)] for start in range(0, 240, 40)]
    await asyncio.gather(*((store, other)[index % 2].add_usage(batch) for index, batch in enumerate(batches)))
    ends = await store.chain_ends("decisions")
    assert ends.seq == 3 * 260
    assert await store.verify_audit("decisions") is None
    await other.close()


async def test_filters(store: SqlStore) -> None:
    await store.add_usage([decided(number) for number in range(6)])
    await store.add_usage([decided(6, event="moderation.flag")])

    async def numbers(**filters: Any) -> list[int]:
        return [int(one.subject_id[-1]) for one in await store.audit(log="decisions", **filters)]

    assert await numbers(project_ids=["proj_1"]) == [4, 1]
    assert await numbers(actor_ids=["key_0"]) == [6, 4, 2, 0]
    assert await numbers(events=["moderation.flag"]) == [6]
    assert await numbers(subject_ids=[a_decision(2).subject_id]) == [2]
    assert await numbers(since=T + 4) == [6, 5, 4]
    assert await numbers(after=a_decision(3).id, limit=2) == [2, 1]


async def test_nobody_who_watches_keys_hears_of_them(store: SqlStore, backend: Backend) -> None:
    """Or else each decision would have all keys read again."""
    other = await open_durable(backend.url, backend.home)
    async with listening(store) as ear:
        await store.add_usage([decided(1)])
        await other.add_usage([decided(2)])
        await ear.hears_nothing()
        await other.create_project("p", ME)
        await ear.heard.wait()
    await other.close()


async def test_what_is_refused_leaves_nothing(store: SqlStore) -> None:
    with pytest.raises(StoreError):
        await store.add_usage([decided(1), decided(2, at=None)])
    assert (await store.chain_ends("decisions")).seq == 0
    await store.add_usage([decided(1)])
    assert await store.verify_audit("decisions") is None


EDITS = {
    "project": ("UPDATE decisions SET project_id = 'proj_9' WHERE seq = 4", "record 4 "),
    "details": ("UPDATE decisions SET details = '{}' WHERE seq = 2", "record 2 "),
    "one removed": ("DELETE FROM decisions WHERE seq = 5", "record 5 is missing"),
    "last removed": ("DELETE FROM decisions WHERE seq = 6", "record 6 is missing"),
    "end moved": ("UPDATE chains SET hash = '0' WHERE name = 'decisions'", "record 6 is not the last"),
}


@pytest.mark.parametrize(("statement", "fault"), EDITS.values(), ids=list(EDITS))
async def test_tampering_is_found(store: SqlStore, backend: Backend, statement: str, fault: str) -> None:
    await store.add_usage([decided(number) for number in range(6)])
    await store.create_project("p", ME)
    backend.sql(statement)
    assert str(await store.verify_audit("decisions")).startswith(fault)
    assert await store.verify_audit() is None, "the other one is whole"
