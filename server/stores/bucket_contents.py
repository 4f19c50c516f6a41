"""Contents of files in a bucket. What is being made is in a local folder until it is whole.

content/file-...             a content
journal/batch_.../...        results of a batch that has not ended (batches/segments.py)
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from server.stores.base import NotThere, StoreDown
from server.stores.files import Conflict, Objects, Reader
from server.stores.folder import disk_errors, older_in
from server.stores.threads import finished

CONTENT, JOURNAL = "content/", "journal/"
OF_BUCKET = ".journal"  # how what is in the making in the bucket is told from what is in the folder
BLOCK_BYTES = 4 * 1024 * 1024  # of a content that a reader has in memory


class BucketContents:
    """See `stores.files.Contents`."""

    def __init__(self, bucket: Objects, scratch: Path) -> None:
        self._bucket = bucket
        self._scratch = scratch

    @property
    def scratch(self) -> Path:
        return self._scratch

    async def put(self, made: Path, file_id: str) -> None:
        """It is not broken off: what has begun would stay in the bucket in parts that nobody sees."""
        try:
            await finished(self._bucket.upload(made, CONTENT + file_id))
        except NotThere:
            raise StoreDown("the bucket of the files is not there") from None
        with disk_errors():
            await asyncio.to_thread(made.unlink, missing_ok=True)

    @asynccontextmanager
    async def reading(self, file_id: str) -> AsyncGenerator[Reader]:
        key = CONTENT + file_id
        yield _BlockReader(self._bucket, key, await self._bucket.size(key))

    async def remove(self, file_id: str) -> None:
        await self._bucket.delete([CONTENT + file_id])

    async def older(self, before: float) -> list[str]:
        found = await self._bucket.several(CONTENT)
        return [one.key.removeprefix(CONTENT) for one in found if one.changed < before]

    async def unfinished(self, before: float) -> list[str]:
        local = await asyncio.to_thread(older_in, self._scratch, before)
        newest: dict[str, float] = {}
        for one in await self._bucket.several(JOURNAL):
            batch_id = one.key.removeprefix(JOURNAL).partition("/")[0]
            newest[batch_id] = max(one.changed, newest.get(batch_id, 0.0))
        return local + [f"{batch_id}{OF_BUCKET}" for batch_id, changed in newest.items() if changed < before]

    async def discard(self, name: str) -> None:
        if not name.endswith(OF_BUCKET):
            with disk_errors():
                await asyncio.to_thread((self._scratch / name).unlink, missing_ok=True)
            return
        found = await self._bucket.several(f"{JOURNAL}{name.removesuffix(OF_BUCKET)}/")
        await self._bucket.delete(one.key for one in found)

    async def probe(self) -> None:
        """Raises `StoreDown` where it could not be used: by writing, reading and deleting, and by writing twice."""
        key = f"probe/{secrets.token_hex(8)}"
        try:
            await self._bucket.create(key, b"probe")
            try:
                await self._bucket.read(key, 0, 5)
                await self._bucket.create(key, b"again")
            except Conflict:
                return
            finally:
                await self._bucket.delete([key])
        except NotThere:
            raise StoreDown("the bucket of the files is not there") from None
        raise StoreDown("the store of the bucket does not know conditional writes (If-None-Match): batches need them")


class _BlockReader:
    """Block by block, each a request of its own: a slow client holds no connection to the store open."""

    def __init__(self, bucket: Objects, key: str, size: int) -> None:
        self._bucket = bucket
        self._key = key
        self._size = size
        self._at = 0  # where the next block begins
        self._block: bytes = b""
        self._read = 0  # of the block

    async def read(self, size: int) -> bytes:
        if self._read == len(self._block):
            if self._at == self._size:
                return b""
            self._block = await self._bucket.read(self._key, self._at, min(BLOCK_BYTES, self._size - self._at))
            self._at += len(self._block)
            self._read = 0
        part = self._block[self._read : self._read + size]
        self._read += len(part)
        return part
