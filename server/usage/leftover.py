"""What a worker that is gone left in its folder: calls that were not delivered, and calls that it was killed in."""

from __future__ import annotations

import contextlib
from pathlib import Path

from msgspec import DecodeError

from server.stores.records import UsageRecord
from server.usage.folder import Folder, SpoolError, abandoned
from server.usage.segment import START, checkpoint, frames, read, set_checkpoint
from server.usage.spool import Batch, decode


class Leftover:
    """Reads all of a folder at once, without keeping it; then in batches. Raises `SpoolError`, `OSError`."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._segments = folder.segments()
        self._begins = [_begin(path) for path in self._segments]  # up to where each is delivered
        self._first = 0  # the first that is not
        self._open: dict[str, UsageRecord] = {}  # never heard of again: what was written at their dispatch counts
        closed = sum(self._survey(path, begin) for path, begin in zip(self._segments, self._begins, strict=True))
        self.waiting = closed + len(self._open)

    def _survey(self, path: Path, begin: int) -> int:
        """How many closed calls are not delivered."""
        closed = 0
        try:
            for end, is_open, payload in frames(read(path), START):
                record = decode(payload)
                if is_open:
                    self._open[record.call_id] = record
                else:
                    self._open.pop(record.call_id, None)
                    closed += end > begin
        except DecodeError:
            raise _unknown(path) from None
        return closed

    def batch(self, limit: int) -> Batch:
        """The oldest `limit` records. The calls that were open come last. Raises `OSError`."""
        batch = Batch()
        for index in range(self._first, len(self._segments)):
            path = self._segments[index]
            batch.segment, batch.position = index, self._begins[index]
            for end, is_open, payload in frames(read(path, batch.position), batch.position):
                batch.position = end
                if not is_open:
                    batch.records.append(decode(payload))
                    if len(batch.records) == limit:
                        return batch
        batch.segment = len(self._segments)
        lost = list(self._open.values())[: limit - len(batch.records)]
        batch.records += lost
        batch.from_memory = len(lost)
        return batch

    def delivered(self, batch: Batch) -> None:
        """The ledger has all of `batch`."""
        self.waiting -= len(batch.records)
        for call_id in list(self._open)[: batch.from_memory]:
            del self._open[call_id]
        if batch.segment == len(self._segments) and not self._open:
            self.waiting = 0  # all there is, whatever was counted
        # Delivered segments are kept to the end: in them are the beginnings of calls that may have been cut.
        with contextlib.suppress(OSError):  # it would be delivered twice after a crash, which is no harm
            for path in self._segments[self._first : batch.segment]:
                set_checkpoint(path, path.stat().st_size)
            if batch.segment < len(self._segments):
                set_checkpoint(self._segments[batch.segment], batch.position)
                self._begins[batch.segment] = batch.position
        self._first = batch.segment

    def leave(self) -> None:
        """Delete it if all is delivered, else leave it to the next one. Raises `OSError`."""
        if self.waiting:
            self._folder.release()
        else:
            self._folder.remove()


def leftovers(spool: Path) -> tuple[list[Leftover], list[str]]:
    """Of all workers that are gone, and why some cannot be read: those stay as they are."""
    found: list[Leftover] = []
    problems: list[str] = []
    for folder in abandoned(spool):
        try:
            found.append(Leftover(folder))
        except SpoolError as error:  # held as long as we live, so that it is not found again and again
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{folder.path}: {error.strerror}")
            folder.release()
    return found, problems


def _begin(path: Path) -> int:
    begin = checkpoint(path)
    if begin is None:
        raise _unknown(path)
    return begin


def _unknown(path: Path) -> SpoolError:
    return SpoolError(f"{path} was not written by this version of Portico, and is left as it is.")
