"""What every `Contents` does, and what each does of its own."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from server.stores.base import NotThere, StoreDown
from server.stores.bucket import Bucket
from server.stores.bucket_contents import BLOCK_BYTES, BucketContents
from server.stores.files import Conflict, Contents, StorageFull
from server.stores.folder import FolderContents
from tests.services.redis import free_port
from tests.services.s3 import S3Server

MIB = 1024 * 1024


def made(contents: Contents, data: bytes, name: str = "one") -> Path:
    contents.scratch.mkdir(parents=True, exist_ok=True)
    place = contents.scratch / name
    place.write_bytes(data)
    return place


async def content_of(contents: Contents, file_id: str, step: int = 3) -> list[bytes]:
    async with contents.reading(file_id) as reader:
        parts: list[bytes] = []
        while part := await reader.read(step):
            parts.append(part)
        return parts


async def test_a_content_is_moved_in_and_read_in_parts(contents: Contents) -> None:
    place = made(contents, b"0123456")
    await contents.put(place, "file-ab")
    assert not place.exists()
    assert await content_of(contents, "file-ab") == [b"012", b"345", b"6"]


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 1, 17 * MIB])
async def test_contents_of_every_size(contents: Contents, size: int) -> None:
    data = os.urandom(size)
    await contents.put(made(contents, data), "file-ab")
    parts = await content_of(contents, "file-ab", 300_000)
    assert b"".join(parts) == data
    assert all(len(part) <= 300_000 for part in parts)


async def test_a_content_that_is_there_already_is_put_again(contents: Contents) -> None:
    for data in (b"0123", b"0123"):
        await contents.put(made(contents, data), "file-ab")
    assert await content_of(contents, "file-ab", 9) == [b"0123"]


async def test_a_content_that_is_not_there(contents: Contents) -> None:
    with pytest.raises(NotThere):
        async with contents.reading("file-ab"):
            pass
    await contents.remove("file-ab")
    assert await contents.older(time.time() + 60) == []
    assert await contents.unfinished(time.time() + 60) == []
    await contents.discard("upload-x")


async def test_what_was_removed_is_gone(contents: Contents) -> None:
    await contents.put(made(contents, b"0123456"), "file-ab")
    await contents.remove("file-ab")
    with pytest.raises(NotThere):
        await content_of(contents, "file-ab")


async def test_what_is_older(contents: Contents) -> None:
    await contents.put(made(contents, b"0"), "file-ab")
    made(contents, b"0", "upload-x")
    assert await contents.older(time.time() - 60) == []
    assert await contents.older(time.time() + 60) == ["file-ab"]
    assert await contents.unfinished(time.time() - 60) == []
    assert await contents.unfinished(time.time() + 60) == ["upload-x"]
    await contents.discard("upload-x")
    assert await contents.unfinished(time.time() + 60) == []


# In a folder


async def test_a_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    contents = FolderContents(tmp_path / "files")
    await contents.put(made(contents, b"0"), "file-ab")
    assert (tmp_path / "files/content").stat().st_mode & 0o077 == 0


async def test_another_name_of_a_content_that_is_there(tmp_path: Path) -> None:
    contents = FolderContents(tmp_path)
    await contents.put(made(contents, b"0123"), "file-ab")
    place = contents.scratch / "one"
    place.hardlink_to(tmp_path / "content/ab/file-ab")
    await contents.put(place, "file-ab")
    assert not place.exists() and await content_of(contents, "file-ab", 9) == [b"0123"]


async def test_removing_leaves_readers_their_content(tmp_path: Path) -> None:
    contents = FolderContents(tmp_path)
    await contents.put(made(contents, b"0123456"), "file-ab")
    async with contents.reading("file-ab") as reader:
        assert await reader.read(3) == b"012"
        await contents.remove("file-ab")
        assert await reader.read(9) == b"3456"


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


# In a bucket


async def test_of_several_that_create_an_object_one_does(bucket_url: str) -> None:
    bucket = Bucket(bucket_url)
    await bucket.create("a/1", b"one")
    with pytest.raises(Conflict):
        await bucket.create("a/1", b"two")
    assert await bucket.read("a/1", 0, 3) == b"one"
    await bucket.create("a/2", b"")
    await bucket.create("b/1", b"x")
    assert [(one.key, one.size) for one in await bucket.several("a/")] == [("a/1", 3), ("a/2", 0)]
    await bucket.delete(["a/1", "a/2", "a/3"])
    assert await bucket.several("a/") == []


async def test_prefixes_are_apart(bucket_url: str, tmp_path: Path) -> None:
    here, there = (BucketContents(Bucket(f"{bucket_url}{one}"), tmp_path) for one in ("", "/below"))
    await here.put(made(here, b"0"), "file-ab")
    assert await there.older(time.time() + 60) == []


async def test_a_bucket_that_can_be_used(bucket_url: str, s3_server: S3Server, tmp_path: Path) -> None:
    await BucketContents(Bucket(bucket_url), tmp_path).probe()
    assert s3_server.keys(bucket_url) == [], "the probe leaves nothing"


async def test_a_bucket_that_is_not_there(bucket_url: str, tmp_path: Path) -> None:
    contents = BucketContents(Bucket("s3://nobody-made-this-one", tries=0), tmp_path)
    with pytest.raises(StoreDown, match="is not there"):
        await contents.probe()
    place = made(contents, b"0")
    with pytest.raises(StoreDown, match="is not there"):
        await contents.put(place, "file-ab")
    assert place.exists()


async def test_a_store_that_does_not_answer(
    bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    contents = BucketContents(Bucket(bucket_url, tries=0), tmp_path)
    place = made(contents, b"0")
    for work in (contents.probe(), contents.put(place, "file-ab"), contents.older(0), contents.remove("file-ab")):
        with pytest.raises(StoreDown, match="does not answer") as raised:
            await work
        assert "secret" not in str(raised.value) and raised.value.__suppress_context__
    with pytest.raises(StoreDown):
        async with contents.reading("file-ab"):
            pass
    assert "secret" not in caplog.text
