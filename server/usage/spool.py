"""The spool of this worker: usage on disk until the ledger has it, at the cost of a copy into memory.

A call is written when it goes to an engine (`open`: the record that is true if nothing more is heard of it) and when
it has ended (`close`). Only closed ones are delivered; if the worker is killed, whoever takes its folder over also
delivers the open ones (leftover.py). A segment is deleted once all of it is delivered; the few calls in it that are
still open are carried over to the newest.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from zlib import crc32

from msgspec.msgpack import Decoder, Encoder

from server.stores.records import UsageRecord
from server.usage.folder import Folder
from server.usage.segment import FRAME, OPEN, START, WORDS, create, frames, read, set_checkpoint

SEGMENT_BYTES = 1 << 20  # about 2,500 calls
MAX_SEGMENTS = 1024  # a database that is down for long must not fill the disk: 2.5 million calls
MAX_HELD = 10_000  # records in memory while the disk takes none
log = logging.getLogger("portico")
encode = Encoder().encode
decode = Decoder(UsageRecord).decode


@dataclass(slots=True)
class Batch:
    """Records to deliver, and how far the spool is delivered once they are."""

    records: list[UsageRecord] = field(default_factory=list[UsageRecord])
    segment: int = 0
    position: int = START
    from_memory: int = 0  # so many of them, the last ones
    held_until: int = 0


class Spool:
    """`lost` is told how many records could be kept nowhere; `sealed` is called when a segment is full."""

    def __init__(
        self,
        folder: Folder,
        lost: Callable[[int], None],
        sealed: Callable[[], None],
        *,
        segment_bytes: int = SEGMENT_BYTES,
        max_segments: int = MAX_SEGMENTS,
        max_held: int = MAX_HELD,
    ) -> None:
        self.waiting = 0  # closed records that are not delivered
        self._folder = folder
        self._lost = lost
        self._on_sealed = sealed
        self._size = segment_bytes
        self._max_segments = max_segments
        self._max_held = max_held
        self._memory: mmap | None = None  # the newest segment; None while the disk takes none
        self._number = 0
        self._end = 0  # in the newest segment
        self._room = 0  # its size, 0 if there is none
        self._sealed: dict[int, int] = {}  # the end of each older segment
        self._cursor = (1, START)  # segment and position up to which all is delivered
        self._open: dict[str, int] = {}  # by call: segment * size + position of its frame
        self._held: deque[UsageRecord] = deque()
        self._held_first = 0  # how many were held before the first of these
        self._trouble = False  # the disk took nothing when it was asked last
        self._losing = False
        self._begin_segment()

    # The hot path

    def open(self, record: UsageRecord) -> None:
        """The call goes to an engine: if this process ends before the call does, `record` is what it used."""
        at = self._append(OPEN, encode(record))
        if at is not None:
            self._open[record.call_id] = at

    def close(self, record: UsageRecord) -> None:
        """The call has ended, whether it was opened or not."""
        payload = encode(record)
        self._open.pop(record.call_id, None)
        self.waiting += 1
        if self._append(0, payload) is None:
            self._hold(record)

    def _append(self, kind: int, payload: bytes) -> int | None:
        """Where the frame begins, as `_open` counts; None if the disk takes nothing."""
        size = len(payload)
        at = self._end
        end = at + FRAME + size
        if end > self._room:
            if not self._next_segment():
                return None
            at = START
            end = at + FRAME + size
            if end > self._room:
                return None
        memory = self._memory
        assert memory is not None  # noqa: S101 # there is room
        memory[at + FRAME : end] = payload
        word = size | kind
        WORDS.pack_into(memory, at, word, crc32(payload, word))  # last: from here on the frame counts
        self._end = end
        return self._number * self._size + at

    # Segments

    def _next_segment(self) -> bool:
        if self._memory is None:  # only `retry` asks the disk again
            return False
        self._seal()
        self._on_sealed()
        return self._begin_segment()

    def _seal(self) -> None:
        if self._memory is not None:
            self._sealed[self._number] = self._end
            self._memory.close()
            self._memory = None
            self._room = 0

    def _begin_segment(self) -> bool:
        if len(self._sealed) >= self._max_segments:
            return self._full("it holds as much as it may")
        try:
            self._memory = create(self._path(self._number + 1), self._size)
        except OSError as error:
            return self._full((error.strerror or str(error)).lower())
        self._number += 1
        self._end, self._room = START, self._size
        return True

    def _full(self, reason: str) -> bool:
        if not self._trouble:
            self._trouble = True
            log.error("usage cannot be spooled: %s; the latest %d records are kept in memory", reason, self._max_held)
        return False

    def _path(self, number: int) -> Path:
        return self._folder.path / f"{number:08d}.usage"

    # While the disk takes nothing

    def _hold(self, record: UsageRecord) -> None:
        if len(self._held) >= self._max_held:
            if not self._losing:
                self._losing = True
                log.error("usage is lost: neither disk nor database takes it; portico_usage_lost_records_total counts")
            self._drop_held()
            self._lost(1)
        self._held.append(record)

    def _drop_held(self) -> None:
        self._held.popleft()
        self._held_first += 1
        self.waiting -= 1

    def retry(self) -> None:
        """Ask the disk again, and write what was held meanwhile."""
        if not self._trouble or not (self._memory is not None or self._begin_segment()):
            return
        while self._held:
            if self._append(0, encode(self._held[0])) is None:
                return
            self._held.popleft()
            self._held_first += 1
        self._trouble = self._losing = False
        log.warning("usage is spooled again")

    # Delivery

    def batch(self, limit: int) -> Batch:
        """The oldest `limit` records that are not delivered. Raises `OSError`."""
        batch = Batch([], *self._cursor)
        while self._read(batch, limit) and batch.segment < self._number:
            batch.segment, batch.position = batch.segment + 1, START
        if len(batch.records) < limit:
            self._check(len(batch.records))
            held = list(self._held)[: limit - len(batch.records)]
            batch.records += held
            batch.from_memory = len(held)
            batch.held_until = self._held_first + len(held)
        return batch

    def _read(self, batch: Batch, limit: int) -> bool:
        """Adds to `batch`; whether its segment has no more."""
        at = batch.position
        if batch.segment > self._number:  # there is none yet
            return True
        try:
            if batch.segment == self._number and self._memory is not None:
                data = self._memory[at : self._end]
            else:
                data = read(self._path(batch.segment), at, self._sealed.get(batch.segment))
        except FileNotFoundError:  # what else may be wrong can be over next time
            log.error("somebody deleted a segment of the usage spool")
            batch.position = self._sealed[batch.segment]
            return True
        for end, is_open, payload in frames(data, at):
            batch.position = end
            if not is_open:
                batch.records.append(decode(payload))
                if len(batch.records) == limit:
                    return False
        return True

    def _check(self, on_disk: int) -> None:
        """All that is on disk has been read: what is not there was damaged or removed by somebody else."""
        missing = self.waiting - len(self._held) - on_disk
        if missing > 0:
            log.error("usage is lost: %d records are not in the spool any more", missing)
            self.waiting -= missing
            self._lost(missing)

    def delivered(self, batch: Batch) -> None:
        """The ledger has all of `batch`."""
        self.waiting -= len(batch.records) - batch.from_memory
        while self._held_first < batch.held_until:  # some may have been dropped meanwhile
            self._drop_held()
        number, position = self._cursor
        self._cursor = (batch.segment, batch.position)
        if self._cursor != (number, position):
            with contextlib.suppress(OSError):  # it would be delivered twice after a crash, which is no harm
                for passed in range(number, batch.segment):
                    set_checkpoint(self._path(passed), self._sealed[passed])
                set_checkpoint(self._path(batch.segment), batch.position)
        self._delete_delivered()

    def _delete_delivered(self) -> None:
        still_open: dict[int, list[str]] = {number: [] for number in self._sealed if number < self._cursor[0]}
        if not still_open:
            return
        for call_id, at in self._open.items():
            if at // self._size in still_open:
                still_open[at // self._size].append(call_id)
        for number, call_ids in still_open.items():
            with contextlib.suppress(OSError):  # again with the next batch
                if self._carry_over(number, call_ids):
                    self._path(number).unlink(missing_ok=True)
                    del self._sealed[number]

    def _carry_over(self, number: int, call_ids: list[str]) -> bool:
        """Write a segment's open calls into the newest. Not if they are most of it, which would go on for ever."""
        if not call_ids:
            return True
        data = read(self._path(number), 0, self._sealed[number])
        payloads = [_payload(data, self._open[call_id] % self._size) for call_id in call_ids]
        if sum(map(len, payloads)) > self._size // 2:
            return False
        for call_id, payload in zip(call_ids, payloads, strict=True):
            at = self._append(OPEN, payload)
            if at is None:
                return False
            self._open[call_id] = at
        return True

    def leave(self) -> None:
        """The end of this worker. What is not delivered, or still open, is left for the next one."""
        self._seal()
        if self._held:
            log.error("usage is lost: neither disk nor database took the last %d records", len(self._held))
            self._lost(len(self._held))
        if self.waiting or self._open:
            self._folder.release()
        else:
            self._folder.remove()


def _payload(data: bytes, at: int) -> bytes:
    word, _ = WORDS.unpack_from(data, at)
    return data[at + FRAME : at + FRAME + (word & ~OPEN)]
