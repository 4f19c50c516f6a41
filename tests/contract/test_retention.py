"""What every `Retention` does: a little at a time, and the chains go on from where they were cut."""

from __future__ import annotations

import asyncio

import pytest

from server.stores.base import LogName
from server.stores.records import UsageTotal
from server.stores.sql.database import Database
from server.stores.sql.opening import open_durable
from server.stores.sql.place import place_of
from server.stores.sql.store import SqlStore
from tests.contract.test_decisions import decided
from tests.contract.test_directory import ME
from tests.contract.test_ledger import DAY, T, a_call
from tests.services.durable import Backend


async def total(store: SqlStore, since: int, until: int) -> list[UsageTotal]:
    return await store.usage(since=since, until=until, bucket_s=until - since)


# A duty


async def test_one_of_all_has_a_duty(store: SqlStore, backend: Backend) -> None:
    others = [await open_durable(backend.url, backend.home) for _ in range(3)]
    took = await asyncio.gather(*(one.take_duty("sweep", 100) for one in (store, *others)))
    assert sorted(took) == [False, False, False, True]
    assert await store.take_duty("another", 100)
    for one in others:
        await one.close()


async def test_a_duty_is_free_again_after_its_time(backend: Backend) -> None:
    await (await open_durable(backend.url, backend.home)).close()
    now = 1000.0
    store = SqlStore(Database(place_of(backend.url, backend.home)), lambda: now)
    assert [await store.take_duty("sweep", 60) for _ in range(2)] == [True, False]
    now = 1059
    assert not await store.take_duty("sweep", 60)
    now = 1060
    assert [await store.take_duty("sweep", 60) for _ in range(2)] == [True, False]
    await store.close()


# Usage


async def test_usage_in_batches(store: SqlStore) -> None:
    old = [a_call(number, at=T + number) for number in range(7)]
    new = [a_call(10 + number, at=T + DAY + number) for number in range(3)]
    await store.add_usage(new + old)
    (kept,) = await total(store, T + DAY, T + 2 * DAY)
    dropped = [await store.drop_usage(T + DAY, 3) for _ in range(4)]
    assert sum(dropped) == 7 + 1, "calls, and the sum of their hour"
    assert dropped[-1] == 0
    assert await total(store, T, T + DAY) == [] == await total(store, T + 1, T + DAY)
    assert await total(store, T + DAY, T + 2 * DAY) == [kept]
    (by_call,) = await total(store, T + DAY, T + DAY + 600)
    assert by_call.requests == 3


async def test_usage_goes_on_after_it(store: SqlStore) -> None:
    """What was the last row may be gone when the next one comes."""
    await store.add_usage([a_call(1, at=T)])
    assert await store.drop_usage(T + DAY, 100) == 2
    await store.add_usage([a_call(2, at=T + DAY), a_call(3, at=T + DAY)])
    (found,) = await total(store, T, T + 2 * DAY)
    assert found.requests == 2


# Logs


async def test_a_log_that_is_cut_can_be_verified(store: SqlStore, backend: Backend) -> None:
    await store.add_usage([decided(number) for number in range(10)])
    before = await store.chain_ends("decisions")
    assert await store.cut_log("decisions", T, 100) == 0
    assert await store.cut_log("decisions", T + 7, 5) == 5
    assert await store.verify_audit("decisions") is None
    assert await store.cut_log("decisions", T + 7, 5) == 2
    assert await store.cut_log("decisions", T + 7, 5) == 0
    ends = await store.chain_ends("decisions")
    assert (ends.seq, ends.hash, ends.cut_seq) == (before.seq, before.hash, 7)
    assert [one.seq for one in await store.audit(log="decisions")] == [10, 9, 8]
    assert await store.verify_audit("decisions") is None
    await store.add_usage([decided(11)])
    assert await store.verify_audit("decisions") is None
    backend.sql("DELETE FROM decisions WHERE seq = 8")
    assert str(await store.verify_audit("decisions")).startswith("record 8 is missing")


async def test_a_log_of_which_all_is_cut(store: SqlStore) -> None:
    project = await store.create_project("p", ME)
    at = (await store.audit())[0].at
    assert await store.cut_log("audit", at + 1, 100) == 1
    assert await store.verify_audit() is None
    await store.archive_project(project.id, ME)
    assert [one.seq for one in await store.audit()] == [2]
    assert await store.verify_audit() is None


async def test_what_came_late_stays_with_what_is_before_it(store: SqlStore) -> None:
    """A spool that was delivered late: an old record behind younger ones. The chain is cut at its beginning only."""
    await store.add_usage([decided(5)])
    await store.add_usage([decided(1)])
    assert await store.cut_log("decisions", T + 3, 100) == 0
    assert await store.cut_log("decisions", T + 6, 100) == 2


EDITS = {
    "kept": ("UPDATE chains SET cut_seq = 6 WHERE name = 'decisions'", "record 5 is there, though"),
    "further removed": ("DELETE FROM decisions WHERE seq = 5", "record 5 is missing"),
    "moved back": ("UPDATE chains SET cut_seq = 3 WHERE name = 'decisions'", "record 4 is missing"),
    "another hash": ("UPDATE chains SET cut_hash = '0' WHERE name = 'decisions'", "record 5 "),
}


@pytest.mark.parametrize(("statement", "fault"), EDITS.values(), ids=list(EDITS))
async def test_tampering_with_a_cut_is_found(store: SqlStore, backend: Backend, statement: str, fault: str) -> None:
    await store.add_usage([decided(number) for number in range(10)])
    await store.cut_log("decisions", T + 4, 100)
    backend.sql(statement)
    assert str(await store.verify_audit("decisions")).startswith(fault)


@pytest.mark.parametrize("log", ["audit", "decisions"])
async def test_cut_while_it_is_verified(
    store: SqlStore, backend: Backend, monkeypatch: pytest.MonkeyPatch, log: LogName
) -> None:
    """Between two pages."""
    monkeypatch.setattr("server.stores.sql.audit._PAGE", 2)
    other = await open_durable(backend.url, backend.home)
    for number in range(12):
        await store.create_project(f"p{number}", ME)
    await store.add_usage([decided(number) for number in range(12)])

    async def cut() -> None:
        for _ in range(6):
            await other.cut_log(log, 2**40, 2)

    fault, _ = await asyncio.gather(store.verify_audit(log), cut())
    assert fault is None
    assert (await store.chain_ends(log)).cut_seq == 12
    await other.close()


async def test_cutting_is_no_change_of_keys(store: SqlStore) -> None:
    await store.create_project("p", ME)
    told: list[int] = []
    heard = asyncio.Event()

    def changed() -> None:
        told.append(1)
        heard.set()

    watching = asyncio.create_task(store.watch(changed))
    await heard.wait()
    heard.clear()
    assert await store.cut_log("audit", 2**40, 10) == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(heard.wait(), 0.7)
    assert told == [1]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
