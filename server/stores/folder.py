"""Contents of files in a local folder, which several processes and, on a shared volume, several machines may use.

FOLDER/content/3f/file-...    a content, by an id of ours: nothing that a client says is part of a path
FOLDER/scratch/...            what is being made
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from server.stores.base import NotThere, StoreDown
from server.stores.files import Reader, StorageFull

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
T = TypeVar("T")


class FolderContents:
    """See `stores.files.Contents`. Folders are made when they are first needed."""

    def __init__(self, folder: Path) -> None:
        self._content = folder / "content"
        self._scratch = folder / "scratch"

    @property
    def scratch(self) -> Path:
        return self._scratch

    async def put(self, made: Path, file_id: str) -> None:
        await _in_thread(lambda: _put(made, self._place(file_id)))

    @asynccontextmanager
    async def reading(self, file_id: str) -> AsyncGenerator[Reader]:
        descriptor = await _in_thread(lambda: os.open(self._place(file_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        try:
            yield _FileReader(descriptor)
        finally:
            os.close(descriptor)

    async def remove(self, file_id: str) -> None:
        await _in_thread(lambda: self._place(file_id).unlink(missing_ok=True))

    async def older(self, before: float) -> list[str]:
        return await _in_thread(lambda: [one.name for one in self._content.glob("*/*") if _age_of(one) < before])

    async def unfinished(self, before: float) -> list[str]:
        return await _in_thread(lambda: older_in(self._scratch, before))

    async def discard(self, name: str) -> None:
        await _in_thread(lambda: (self._scratch / name).unlink(missing_ok=True))

    def _place(self, file_id: str) -> Path:
        """Some hundred folders, as one with all would be slow to list."""
        return self._content / file_id[-2:] / file_id


class _FileReader:
    """Its place in the file is its own: a read that nobody waits for any more is not in the way of the next."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0

    async def read(self, size: int) -> bytes:
        data = await _in_thread(lambda: os.pread(self._descriptor, size, self._at))
        self._at += len(data)
        return data


def make_folder(folder: Path) -> None:
    """With those above it, for this user alone. Raises `OSError`."""
    for one in (*reversed(folder.parents), folder):
        if not one.is_dir():
            one.mkdir(mode=0o700, exist_ok=True)


def sync(path: Path) -> None:
    """What is written at `path`, a file or a folder, survives a loss of power. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors() -> Generator[None]:
    """Raises `StorageFull`, `NotThere` and `StoreDown` for what the operating system says."""
    try:
        yield
    except FileNotFoundError:
        raise NotThere("the content of this file is gone") from None
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull("the disk of the files is full") from None
        raise StoreDown(f"the folder of the files is not available: {error.strerror or error}") from None


def _put(made: Path, place: Path) -> None:
    make_folder(place.parent)
    sync(made)
    made.rename(place)
    made.unlink(missing_ok=True)  # where both were names of one content already, a rename does nothing
    sync(place.parent)


def _age_of(path: Path) -> float:
    """When it was put there; what is gone meanwhile is no matter."""
    try:
        return path.stat().st_ctime
    except FileNotFoundError:
        return float("inf")


def older_in(folder: Path, before: float) -> list[str]:
    """Names of what did not change since that time."""
    found: list[str] = []
    for place in folder.glob("*"):
        try:
            if place.stat().st_mtime < before:
                found.append(place.name)
        except FileNotFoundError:  # it was put where it belongs
            continue
    return found


async def _in_thread(work: Callable[[], T]) -> T:
    with disk_errors():
        return await asyncio.to_thread(work)
