"""What every `BatchStore` does."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from server.stores.base import NotAllowed, NotThere
from server.stores.batches import BatchRecord, BatchTokens, Counts, LineError, Status
from server.stores.sql.database import Database
from server.stores.sql.opening import open_durable
from server.stores.sql.place import place_of
from server.stores.sql.store import SqlStore
from tests.services.durable import Backend

T = 1_700_000_000


def a_batch(number: int, project: str = "p", status: Status = "validating") -> BatchRecord:
    return BatchRecord(
        f"batch_{number}", project, "key_1", "/v1/completions", "file-1", T + number, T + 86_400, status=status
    )


def counted(record: BatchRecord) -> BatchRecord:
    return replace(record, counts=Counts(3, 1, 0))


def same(record: BatchRecord) -> BatchRecord:
    return record


def ended(record: BatchRecord) -> BatchRecord:
    return replace(record, status="completed")


async def test_a_record_comes_back_as_it_was(store: SqlStore) -> None:
    one = replace(
        a_batch(1),
        ending="failed",
        times={"failed": T},
        counts=Counts(3, 2, 1),
        tokens=BatchTokens(1, 2, 3, 4),
        model="m",
        errors=(LineError("duplicate_custom_id", "twice", "custom_id", 3),),
        metadata={"ключ": "värde"},
        output_expires_s=3600,
        output_file_id="file-2",
    )
    await store.add_batch(one, 9)
    assert await store.batch("p", one.id) == one
    with pytest.raises(NotThere, match="no batch with this id"):
        await store.batch("q", one.id)


async def test_lists_newest_first_in_pages(store: SqlStore) -> None:
    kept = [a_batch(number) for number in range(4)]
    for one in (*kept, a_batch(9, "q")):
        await store.add_batch(one, 9)
    assert await store.batches("p", limit=2) == [kept[3], kept[2]]
    assert await store.batches("p", after=kept[2].id) == [kept[1], kept[0]]
    assert await store.batches("p", after="batch_9") == []


async def test_open_ones_are_bounded(store: SqlStore) -> None:
    for number in range(3):
        await store.add_batch(a_batch(number, status="completed" if number == 0 else "validating"), 2)
    with pytest.raises(NotAllowed, match="2 batches that have not ended"):
        await store.add_batch(a_batch(3), 2)
    await store.add_batch(a_batch(4, "q"), 2)
    assert await store.open_batches(["batch_0", "batch_1", "batch_x"]) == {"batch_1"}


async def test_what_a_change_raises_changes_nothing(store: SqlStore) -> None:
    await store.add_batch(a_batch(1), 9)

    def refuse(_: BatchRecord) -> BatchRecord:
        raise NotAllowed("it is over")

    with pytest.raises(NotAllowed, match="it is over"):
        await store.change_batch("p", "batch_1", refuse)
    with pytest.raises(NotThere):
        await store.change_batch("q", "batch_1", counted)
    assert await store.batch("p", "batch_1") == a_batch(1)
    assert await store.change_batch("p", "batch_1", counted) == counted(a_batch(1)) == await store.batch("p", "batch_1")


async def test_changes_at_once_do_not_undo_each_other(store: SqlStore, backend: Backend) -> None:
    await store.add_batch(a_batch(1), 9)
    other = await open_durable(backend.url, backend.home)

    def more(record: BatchRecord) -> BatchRecord:
        return replace(record, counts=Counts(record.counts.total + 1))

    await asyncio.gather(*(one.change_batch("p", "batch_1", more) for one in (store, other) for _ in range(5)))
    assert (await store.batch("p", "batch_1")).counts.total == 10
    await other.close()


async def test_one_of_all_has_a_batch(store: SqlStore, backend: Backend) -> None:
    others = [await open_durable(backend.url, backend.home) for _ in range(3)]
    await store.add_batch(a_batch(1), 9)
    claimed = await asyncio.gather(*(one.claim_batch(f"o{at}", 60) for at, one in enumerate((store, *others))))
    assert [one for one in claimed if one is not None] == [a_batch(1)]
    assert await store.claim_batch("late", 60) is None
    for one in others:
        await one.close()


async def test_what_has_ended_is_not_claimed(store: SqlStore) -> None:
    for number, status in enumerate(("failed", "completed", "expired", "cancelled")):
        await store.add_batch(a_batch(number, status=status), 9)
    assert await store.claim_batch("o", 60) is None
    for number, status in enumerate(("validating", "in_progress", "finalizing", "cancelling"), start=10):
        await store.add_batch(a_batch(number, status=status), 9)
    claimed = [await store.claim_batch("o", 60) for _ in range(5)]
    assert [one and one.id for one in claimed] == ["batch_10", "batch_11", "batch_12", "batch_13", None]


async def test_the_project_with_the_fewest_running_is_next(store: SqlStore) -> None:
    for number, project in enumerate("pppqq"):
        await store.add_batch(a_batch(number, project), 9)
    claimed = [await store.claim_batch("o", 60) for _ in range(5)]
    assert [one and one.id for one in claimed] == ["batch_0", "batch_3", "batch_1", "batch_4", "batch_2"]


async def test_who_has_had_none_for_the_longest_is_next(backend: Backend) -> None:
    await (await open_durable(backend.url, backend.home)).close()
    now = float(T)
    store = SqlStore(Database(place_of(backend.url, backend.home)), lambda: now)
    for number in range(3):
        await store.add_batch(a_batch(number), 9)
    seen: list[str] = []
    for _ in range(6):
        record = await store.claim_batch("o", 60)
        assert record is not None
        seen.append(record.id)
        now += 1
        await store.keep_batch(record.id, "o", 0, same)
    assert seen == ["batch_0", "batch_1", "batch_2"] * 2
    await store.close()


async def test_keeping_giving_up_and_losing(backend: Backend) -> None:
    await (await open_durable(backend.url, backend.home)).close()
    now = float(T)
    store = SqlStore(Database(place_of(backend.url, backend.home)), lambda: now)
    await store.add_batch(a_batch(1), 9)
    assert await store.claim_batch("one", 10)
    now += 9.5
    assert await store.keep_batch("batch_1", "one", 10, counted) == counted(a_batch(1))
    now += 9.5
    assert await store.claim_batch("other", 10) is None, "it was kept"
    with pytest.raises(NotAllowed):
        await store.keep_batch("batch_1", "other", 10, same)
    now += 0.5
    with pytest.raises(NotAllowed):
        await store.keep_batch("batch_1", "one", 10, ended)
    assert await store.claim_batch("other", 10) == counted(a_batch(1)), "what was written is what the next one gets"
    assert await store.keep_batch("batch_1", "other", 0, same) == counted(a_batch(1))
    assert await store.claim_batch("one", 10) == counted(a_batch(1)), "given up"
    assert (await store.keep_batch("batch_1", "one", 0, ended)).status == "completed"
    assert await store.claim_batch("other", 10) is None
    await store.close()
