"""What every `FileStore` does."""

from __future__ import annotations

import asyncio

import pytest

from server.stores.base import NotAllowed, NotThere
from server.stores.files import FileRecord, Purpose, Quota
from server.stores.sql.database import Database
from server.stores.sql.opening import open_durable
from server.stores.sql.place import place_of
from server.stores.sql.store import SqlStore
from tests.services.durable import Backend

T = 1_700_000_000


def a_file(
    number: int, project: str = "p", purpose: Purpose = "batch", size: int = 10, expires_at: int | None = None
) -> FileRecord:
    return FileRecord(f"file-{number}", project, purpose, f"{number}.jsonl", size, T + number, expires_at)


async def test_what_was_added_is_found_again_by_its_project_alone(store: SqlStore) -> None:
    one = a_file(1)
    await store.add_file(one)
    assert await store.file("p", one.id) == one
    with pytest.raises(NotThere, match="no file with this id"):
        await store.file("q", one.id)
    assert await store.files("q") == []


async def test_adding_again_is_no_harm(store: SqlStore) -> None:
    for _ in range(2):
        await store.add_file(a_file(1))
    assert await store.files("p") == [a_file(1)]


async def test_lists_in_pages_both_ways(store: SqlStore) -> None:
    kept = [a_file(number, purpose="batch" if number % 2 else "user_data") for number in range(5)]
    for one in (*kept, a_file(9, project="q")):
        await store.add_file(one)
    assert await store.files("p") == kept[::-1]
    assert await store.files("p", newest_first=False, limit=2) == kept[:2]
    assert await store.files("p", newest_first=False, after=kept[1].id) == kept[2:]
    assert await store.files("p", after=kept[3].id, limit=2) == [kept[2], kept[1]]
    assert await store.files("p", purpose="user_data", newest_first=False) == kept[::2]
    assert await store.files("p", after="file-9") == [], "that of another project is no place in this list"


async def test_deleting(store: SqlStore) -> None:
    await store.add_file(a_file(1))
    with pytest.raises(NotThere):
        await store.delete_file("q", "file-1")
    await store.delete_file("p", "file-1")
    with pytest.raises(NotThere):
        await store.delete_file("p", "file-1")


async def test_a_quota_holds_when_all_come_at_once(store: SqlStore, backend: Backend) -> None:
    others = [await open_durable(backend.url, backend.home) for _ in range(3)]
    adding = [
        one.add_file(a_file(10 * place + number), Quota(5, 1000))
        for place, one in enumerate((store, *others))
        for number in range(3)
    ]
    ended = await asyncio.gather(*adding, return_exceptions=True)
    refused = [one for one in ended if one is not None]
    assert all(isinstance(one, NotAllowed) for one in refused), refused
    assert len(refused) == 12 - 5
    assert await store.kept_files("p") == Quota(5, 50)
    for one in others:
        await one.close()


async def test_a_quota_of_bytes(store: SqlStore) -> None:
    await store.add_file(a_file(1, size=60), Quota(9, 100))
    with pytest.raises(NotAllowed, match="take 60 bytes, of 100"):
        await store.add_file(a_file(2, size=41), Quota(9, 100))
    await store.add_file(a_file(3, project="q", size=41), Quota(9, 100))
    await store.delete_file("p", "file-1")
    await store.add_file(a_file(4, size=100), Quota(9, 100))


async def test_what_has_expired_is_gone_before_it_is_swept(backend: Backend) -> None:
    await (await open_durable(backend.url, backend.home)).close()
    now = float(T)
    store = SqlStore(Database(place_of(backend.url, backend.home)), lambda: now)
    for number in range(4):
        await store.add_file(a_file(number, expires_at=T + 10 if number else None))
    assert len(await store.files("p")) == 4
    assert await store.drop_expired_files(10) == []
    now = T + 10.0
    assert [one.id for one in await store.files("p")] == ["file-0"]
    with pytest.raises(NotThere):
        await store.file("p", "file-1")
    with pytest.raises(NotThere):
        await store.delete_file("p", "file-1")
    swept = [await store.drop_expired_files(2) for _ in range(3)]
    assert [len(some) for some in swept] == [2, 1, 0]
    assert {one for some in swept for one in some} == {"file-1", "file-2", "file-3"}
    assert await store.known_files(["file-0", "file-1", "file-x"]) == {"file-0"}
    await store.close()
