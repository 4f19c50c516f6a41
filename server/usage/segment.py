"""A segment: one file of the spool, preallocated and memory-mapped, to which usage records are only ever added.

    segment = magic (8 bytes), checkpoint (8 bytes), frames, zeros
    frame   = word (4 bytes), CRC-32 (4 bytes), payload

All numbers are little-endian. The word is the payload's length; its highest bit tells the frame of an open call from
that of a closed one. The payload is a `UsageRecord` in MessagePack. Everything before the checkpoint is delivered.

A frame counts once its word and checksum are there, which are written after the payload: a process that is killed in
between leaves a frame that nobody sees. The pages are the kernel's, so that killing the process loses none of them.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

MAGIC = b"PTC-USE\x01"
START = 16  # where the first frame is
FRAME = 8  # bytes of a frame before its payload
OPEN = 1 << 31
CHECKPOINT = struct.Struct("<Q")
WORDS = struct.Struct("<II")


def create(path: Path, size: int) -> mmap.mmap:
    """A new segment of `size` bytes. Raises `OSError`, and leaves nothing then.

    Its blocks are allocated here: writing to a mapped page that finds the disk full would end the process by SIGBUS.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        memory = mmap.mmap(descriptor, size)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    memory[: len(MAGIC)] = MAGIC
    CHECKPOINT.pack_into(memory, len(MAGIC), START)
    return memory


def frames(data: bytes, base: int = 0) -> Iterator[tuple[int, bool, bytes]]:
    """The whole frames at the beginning of `data`: where each ends (counted from -`base`), whether it is of an open
    call, its payload. Ends at zeros and at the first frame that is not as it was written."""
    at, size = 0, len(data)
    while at + FRAME <= size:
        word, checksum = WORDS.unpack_from(data, at)
        begin = at + FRAME
        at = begin + (word & ~OPEN)
        payload = data[begin:at]
        if not payload or at > size or crc32(payload, word) != checksum:
            return
        yield at + base, word >= OPEN, payload


def read(path: Path, start: int = START, stop: int | None = None) -> bytes:
    """The bytes from `start` up to `stop`, for `frames(..., base=start)`. Raises `OSError`."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(-1 if stop is None else stop - start)


def checkpoint(path: Path) -> int | None:
    """Up to where a segment is delivered; None if this is no segment that this version can read. Raises `OSError`."""
    with path.open("rb") as file:
        head = file.read(START)
    if head[: len(MAGIC)].strip(b"\0") and head[: len(MAGIC)] != MAGIC:
        return None
    # All zeros, or less than a head: its maker was killed before it wrote anything.
    return CHECKPOINT.unpack_from(head, len(MAGIC))[0] or START if len(head) == START else START


def set_checkpoint(path: Path, position: int) -> None:
    """Raises `OSError`."""
    with path.open("r+b") as file:
        file.seek(len(MAGIC))
        file.write(CHECKPOINT.pack(position))
