"""Uploads that go well, and those that do not: nothing is left of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from server.config import Files as Settings
from server.errors import FileLimitExceeded, InvalidRequest
from server.files.library import DAY_S, Library, expiry
from server.files.sweeper import FileSweeper
from server.stores.base import NotThere, StoreDown
from server.stores.files import FileRecord, StorageFull
from server.stores.folder import FolderContents
from server.stores.sql.opening import open_durable
from server.stores.sql.store import SqlStore

NOW = 1_700_000_000.0


class Shelf:
    def __init__(self, store: SqlStore, folder: Path, **settings: int) -> None:
        self.store = store
        self.folder = folder
        self.contents = FolderContents(folder)
        self.library = Library(store, self.contents, Settings(**settings), lambda: NOW)  # type: ignore[arg-type]

    async def add(self, content: bytes, purpose: str = "user_data", project: str = "p") -> FileRecord:
        request = httpx.Request("POST", "http://x", data={"purpose": purpose}, files={"file": ("n", content)})
        body = request.read()

        async def parts() -> AsyncIterator[bytes]:
            for at in range(0, len(body), 1000):
                yield body[at : at + 1000]

        form = self.library.form(request.headers["content-type"].encode())
        return await self.library.add(project, form, parts())

    def kept(self) -> list[str]:
        return sorted(place.name for place in self.folder.rglob("*") if place.is_file())


@asynccontextmanager
async def shelf(folder: Path, **settings: int) -> AsyncIterator[Shelf]:
    store = await open_durable("sqlite:///portico.db", folder)
    try:
        yield Shelf(store, folder / "files", **settings)
    finally:
        await store.close()


async def test_an_upload_is_kept(tmp_path: Path) -> None:
    async with shelf(tmp_path) as one:
        content = bytes(range(256)) * 4000
        record = await one.add(content)
        assert (record.bytes, record.filename, record.expires_at) == (len(content), "n", None)
        assert one.kept() == [record.id]
        async with one.library.reading(record) as reader:
            assert await reader.read(1 << 22) == content
        await one.library.delete("p", record.id)
        assert one.kept() == []
        with pytest.raises(NotThere):
            await one.library.delete("p", record.id)


async def test_nothing_is_left_of_what_is_refused(tmp_path: Path) -> None:
    async with shelf(tmp_path, max_file_bytes=5000, max_project_files=2, max_project_bytes=6000) as one:
        for content, purpose in ((b"x" * 5001, "batch"), (b"x", "vision")):
            with pytest.raises(InvalidRequest):
                await one.add(content, purpose)
        assert one.kept() == []
        first = await one.add(b"x" * 5000)
        with pytest.raises(FileLimitExceeded, match="5000 bytes"):
            await one.add(b"x" * 1001)
        assert one.kept() == [first.id]
        await one.add(b"x" * 5000, project="q")
        await one.add(b"x")
        with pytest.raises(FileLimitExceeded, match="2 files"):
            await one.add(b"x")


async def test_nothing_is_left_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shelf(tmp_path) as one:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("server.files.library._append", full)
        with pytest.raises(StorageFull):
            await one.add(b"x")
        monkeypatch.undo()
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StorageFull):
            await one.add(b"x")
        assert one.kept() == [] and await one.store.files("p") == []


async def test_a_record_that_cannot_be_written_leaves_an_orphan_that_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shelf(tmp_path) as one:
        kept = await one.add(b"kept")

        async def down(*_: object) -> None:
            raise StoreDown("the database is away")

        with monkeypatch.context() as patch:
            patch.setattr(one.store, "add_file", down)
            with pytest.raises(StoreDown):
                await one.add(b"orphan")
        for name in ("upload-1", "batch_1.output", "batch_1.lock"):
            (one.contents.scratch / name).write_bytes(b"x")
        assert len(one.kept()) == 5 and await one.store.files("p") == [kept]
        await FileSweeper(one.store, one.contents).sweep()
        assert len(one.kept()) == 5, "they are young: somebody may still be at them"
        import time

        await FileSweeper(one.store, one.contents, clock=lambda: time.time() + 7200).sweep()
        assert one.kept() == [kept.id]


async def test_expired_files_are_swept_with_their_contents(tmp_path: Path) -> None:
    async with shelf(tmp_path) as one:
        kept, old = await one.add(b"kept"), await one.add(b"old", "batch")
        assert old.expires_at == NOW + 30 * DAY_S
        await FileSweeper(one.store, one.contents).sweep()  # it is long past that by the store's clock
        assert one.kept() == [kept.id]


def test_how_long_files_are_kept() -> None:
    assert expiry(100, "batch", None, 30) == 100 + 30 * DAY_S == expiry(100, "batch_output", None, 30)
    assert expiry(100, "batch", None, None) is None is expiry(100, "user_data", None, 30)
    assert expiry(100, "user_data", 3600, None) == 3700 == expiry(100, "batch", 3600, 30)
