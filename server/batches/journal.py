"""What a batch has done so far, in a folder: its two outputs, which are their own journal.

A result is one line that names its request. A process that is killed while it writes leaves at most a part of a line,
which is cut off before the next one goes on; what has no line is run again. So each request has exactly one result,
without a second record of it that could disagree. A lock keeps all others away, also an owner that was only slow.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from server.batches.outputs import KINDS, Locked, Progress
from server.batches.results import Kind, Result
from server.stores.files import Contents
from server.stores.folder import disk_errors, make_folder
from server.stores.threads import finished


class FolderOutputs:
    """See `batches.outputs.Outputs`."""

    def __init__(self, contents: Contents, batch_id: str) -> None:
        self._contents = contents
        self._journal = Journal(contents.scratch, batch_id)
        self.progress = self._journal.progress

    async def open(self) -> None:
        await finished(asyncio.to_thread(self._journal.open))

    async def append(self, results: Sequence[Result]) -> None:
        await finished(asyncio.to_thread(self._journal.append, results))

    def size(self, kind: Kind) -> int:
        return self._journal.size(kind)

    async def publish(self, kind: Kind, file_id: str) -> None:
        copy = self._contents.scratch / f"upload-{file_id}"
        with disk_errors():
            await finished(asyncio.to_thread(_copy, self._journal.place(kind), copy))
        await self._contents.put(copy, file_id)

    def close(self) -> None:
        self._journal.close()

    async def remove(self) -> None:
        await asyncio.to_thread(self._journal.remove)


class Journal:
    """The same, and blocks: call it in a thread."""

    def __init__(self, folder: Path, batch_id: str) -> None:
        self.progress = Progress()
        self._batch_id = batch_id
        self._folder = folder
        self._files: dict[Kind, BinaryIO] = {}
        self._lock = -1

    def open(self) -> None:
        """Raises `Locked`."""
        with disk_errors():
            make_folder(self._folder)
            self._lock = os.open(self._lock_place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take_lock()
            for kind in KINDS:
                self._files[kind] = self._reopened(kind)

    def place(self, kind: Kind) -> Path:
        return self._folder / f"{self._batch_id}.{kind}"

    def append(self, results: Sequence[Result]) -> None:
        """All or, where an error is raised, some of them: `progress` knows which."""
        with disk_errors():
            for one in results:
                file = self._files[one.kind]
                end = file.tell()
                try:
                    rest = memoryview(one.line)
                    while rest:
                        rest = rest[file.write(rest) :]
                except OSError:
                    file.truncate(end)
                    file.seek(end)
                    raise
                self.progress.add(one.number, one.kind, one.tokens)

    def size(self, kind: Kind) -> int:
        return self._files[kind].tell()

    def close(self) -> None:
        """More than once is no harm."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove(self) -> None:
        """The batch has ended: its outputs are kept elsewhere."""
        with disk_errors():
            self.close()
            for place in (*(self.place(kind) for kind in KINDS), self._lock_place):
                place.unlink(missing_ok=True)

    @property
    def _lock_place(self) -> Path:
        return self._folder / f"{self._batch_id}.lock"

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"another process still works on {self._batch_id}") from None

    def _reopened(self, kind: Kind) -> BinaryIO:
        """At its end, which is that of its last whole result."""
        descriptor = os.open(self.place(kind), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        with self.place(kind).open("rb") as lines:
            end = recover(lines, self._batch_id, kind, self.progress)
        file.truncate(end)
        file.seek(end)
        return file


def recover(lines: Iterable[bytes], batch_id: str, kind: Kind, progress: Progress) -> int:
    """Adds the whole results at the beginning to `progress`; how many bytes they take. Pure."""
    end = 0
    for line in lines:
        if not progress.recover(line, batch_id, kind):
            break
        end += len(line)
    return end


def _copy(made: Path, copy: Path) -> None:
    """Another name for the same content, where the disk knows such; nothing is written to it any more."""
    copy.unlink(missing_ok=True)
    try:
        os.link(made, copy)
    except OSError:
        shutil.copyfile(made, copy)
