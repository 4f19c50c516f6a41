"""What a batch has done so far: its two outputs, which are their own journal.

A result is one line that names its request. A process that is killed while it writes leaves at most a part of a line,
which is cut off before the next one goes on; what has no line is run again. So each request has exactly one result,
without a second record of it that could disagree. A lock keeps all others away, also an owner that was only slow.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, get_args

from server.batches.results import Kind, Result, read
from server.stores.base import StoreDown
from server.stores.batches import BatchTokens, Counts
from server.stores.folder import disk_errors, make_folder

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass
class Progress:
    """What there is a result of."""

    numbers: set[int] = field(default_factory=set[int])
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    tokens: BatchTokens = field(default_factory=BatchTokens)

    def add(self, number: int, kind: Kind, tokens: BatchTokens) -> None:
        self.numbers.add(number)
        self.counts[kind] += 1
        if tokens != BatchTokens():
            now = self.tokens
            self.tokens = BatchTokens(
                now.prompt + tokens.prompt,
                now.cached + tokens.cached,
                now.completion + tokens.completion,
                now.reasoning + tokens.reasoning,
            )

    def of(self, total: int) -> Counts:
        return Counts(total, self.counts["output"], self.counts["errors"])


class Locked(StoreDown):
    """Another process still has the batch."""


class Journal:
    """`open` and `close` it. All methods raise `StorageFull`, `StoreDown`."""

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
        found = read(line, batch_id)
        if found is None or found[0] in progress.numbers:
            break
        progress.add(found[0], kind, found[1])
        end += len(line)
    return end
