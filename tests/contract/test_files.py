"""What every `FileStore` does, and every `Contents`."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest

from server.stores.base import NotAllowed, NotThere, StoreDown
from server.stores.files import FileRecord, Purpose, Quota, StorageFull
from server.stores.folder import FolderContents
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


# Contents


def made(contents: FolderContents, data: bytes) -> Path:
    contents.scratch.mkdir(parents=True, exist_ok=True)
    place = contents.scratch / "one"
    place.write_bytes(data)
    return place


async def content_of(contents: FolderContents, file_id: str, step: int = 3) -> list[bytes]:
    async with contents.reading(file_id) as reader:
        parts: list[bytes] = []
        while part := await reader.read(step):
            parts.append(part)
        return parts


async def test_a_content_is_moved_in_and_read_in_parts(tmp_path: Path) -> None:
    contents = FolderContents(tmp_path / "files")
    place = made(contents, b"0123456")
    await contents.put(place, "file-ab")
    assert not place.exists()
    assert await content_of(contents, "file-ab") == [b"012", b"345", b"6"]
    assert (tmp_path / "files/content").stat().st_mode & 0o077 == 0, "for this user alone"


async def test_a_content_that_is_there_already(tmp_path: Path) -> None:
    contents = FolderContents(tmp_path)
    for _ in range(2):
        place = made(contents, b"0123")
        await contents.put(place, "file-ab")
        place.hardlink_to(tmp_path / "content/ab/file-ab")
        await contents.put(place, "file-ab")
        assert not place.exists() and await content_of(contents, "file-ab", 9) == [b"0123"]


async def test_a_content_that_is_not_there(tmp_path: Path) -> None:
    contents = FolderContents(tmp_path / "files")
    with pytest.raises(NotThere):
        async with contents.reading("file-ab"):
            pass
    await contents.remove("file-ab")
    assert await contents.older(time.time() + 60) == []


async def test_removing_leaves_readers_their_content(tmp_path: Path) -> None:
    contents = FolderContents(tmp_path)
    await contents.put(made(contents, b"0123456"), "file-ab")
    async with contents.reading("file-ab") as reader:
        assert await reader.read(3) == b"012"
        await contents.remove("file-ab")
        assert await reader.read(9) == b"3456"
    with pytest.raises(NotThere):
        await content_of(contents, "file-ab")


async def test_what_is_older(tmp_path: Path) -> None:
    contents = FolderContents(tmp_path)
    await contents.put(made(contents, b"0"), "file-ab")
    assert await contents.older(time.time() - 60) == []
    assert await contents.older(time.time() + 60) == ["file-ab"]


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StoreDown)]
)
async def test_what_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    contents = FolderContents(tmp_path)
    place = made(contents, b"0")

    def fails(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(kind):
        await contents.put(place, "file-ab")
    assert place.exists() and await contents.older(time.time() + 60) == []
