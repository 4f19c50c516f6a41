"""What a batch has done so far, in a bucket: each write of results is an object, and their numbers are a chain.

Objects cannot be appended to. So what is written at a time is one with the next number, which is created only if it is
not there: of two processes that both believe to have the batch one is first, and the other hears of it before its
results count. Whoever goes on has read all that was written before, wherever that process ran. So each request has
exactly one result.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from server.batches.outputs import KINDS, Locked, Progress
from server.batches.results import Kind, Result
from server.stores.base import NotThere, StoreDown
from server.stores.bucket_contents import JOURNAL
from server.stores.files import Conflict, Contents, Object, Objects
from server.stores.folder import disk_errors, make_folder
from server.stores.threads import finished

AT_ONCE = 8  # that are read


class SegmentedOutputs:
    """See `batches.outputs.Outputs`."""

    def __init__(self, bucket: Objects, contents: Contents, batch_id: str) -> None:
        self.progress = Progress()
        self._bucket = bucket
        self._contents = contents
        self._batch_id = batch_id
        self._folder = f"{JOURNAL}{batch_id}/"
        self._segments: dict[Kind, list[Object]] = {kind: [] for kind in KINDS}

    async def open(self) -> None:
        with _there():
            found = await self._bucket.several(self._folder)
        chain = [one for number, one in enumerate(found) if one.key == self._key(number)]  # nothing behind a gap is
        async for one, data in self._each(chain):
            head, _, lines = data.partition(b"\n")
            kind: Kind = "output" if head == b"output" else "errors"
            for line in lines.splitlines(keepends=True):
                if not self.progress.recover(line, self._batch_id, kind):
                    raise StoreDown(f"what is kept of {self._batch_id} in the bucket of the files is damaged")
            self._segments[kind].append(one)

    async def append(self, results: Sequence[Result]) -> None:
        for kind in KINDS:
            some = [one for one in results if one.kind == kind]
            if some:
                await finished(self._create(kind, b"".join(one.line for one in some)))
                for one in some:
                    self.progress.add(one.number, one.kind, one.tokens)

    def size(self, kind: Kind) -> int:
        return sum(one.size - len(_head(kind)) for one in self._segments[kind])

    async def publish(self, kind: Kind, file_id: str) -> None:
        """By way of the local folder: an object is uploaded from a file."""
        place = self._contents.scratch / f"upload-{file_id}"
        with disk_errors():
            await finished(asyncio.to_thread(_begin, place))
        async for _, data in self._each(self._segments[kind]):
            with disk_errors():
                await finished(asyncio.to_thread(_append, place, data.removeprefix(_head(kind))))
        await self._contents.put(place, file_id)

    def close(self) -> None:
        """Nothing is held."""

    async def remove(self) -> None:
        with _there():
            found = await self._bucket.several(self._folder)
            await self._bucket.delete([one.key for one in found])

    async def _create(self, kind: Kind, lines: bytes) -> None:
        key, data = self._key(sum(map(len, self._segments.values()))), _head(kind) + lines
        try:
            with _there():
                await self._bucket.create(key, data)
        except Conflict:
            raise Locked(f"another process works on {self._batch_id}") from None
        self._segments[kind].append(Object(key, len(data), 0.0))

    def _key(self, number: int) -> str:
        """Keys are in the order of their numbers. The kind is no part of them: what comes next is one object."""
        return f"{self._folder}{number:08d}"

    async def _each(self, segments: Sequence[Object]) -> AsyncGenerator[tuple[Object, bytes]]:
        for start in range(0, len(segments), AT_ONCE):
            some = segments[start : start + AT_ONCE]
            reading = (self._bucket.read(one.key, 0, one.size) for one in some)
            for one, data in zip(some, await asyncio.gather(*reading, return_exceptions=True), strict=True):
                if isinstance(data, BaseException):
                    with _there():
                        raise data
                yield one, data


def _head(kind: Kind) -> bytes:
    """The first line of an object."""
    return kind.encode() + b"\n"


@contextmanager
def _there() -> Generator[None]:
    """What is missing of a journal is not missing of the input, as `NotThere` would say."""
    try:
        yield
    except NotThere:
        raise StoreDown("the bucket of the files, or a part of a batch in it, is not there") from None


def _begin(place: Path) -> None:
    make_folder(place.parent)
    place.unlink(missing_ok=True)
    place.touch(mode=0o600)


def _append(place: Path, data: bytes) -> None:
    with place.open("ab") as file:
        file.write(data)
