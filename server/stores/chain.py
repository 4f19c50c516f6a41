"""A chain of records: each carries a hash over itself and the hash of the one before it.

Whoever edits or removes a record breaks the chain there; whoever removes the last ones is found out by what is known of
the end. The hash is SHA-256 over the previous hash, a line feed and the record's canonical JSON (keys sorted at every
depth, no spaces, UTF-8), without its fields `previous` and `hash`.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

START = "0" * 64
"""What the first record has for `previous`."""


class Link(Protocol):
    """A msgspec Struct with these fields among others. `seq` counts 1, 2, 3, ..."""

    @property
    def seq(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def previous(self) -> str: ...
    @property
    def hash(self) -> str: ...


def hash_of(record: Link, previous: str) -> str:
    """What `record.hash` has to be after `previous`; hexadecimal."""
    fields = msgspec.to_builtins(record)
    del fields["previous"], fields["hash"]
    return hashlib.sha256(b"%s\n%s" % (previous.encode(), msgspec.json.encode(fields, order="sorted"))).hexdigest()


class Chain:
    """Follows a chain from its first record on, or from where it was cut.

    A fault is one line that names the first record that is wrong.
    """

    def __init__(self) -> None:
        self.seq: int = 0
        self.hash: str = START

    def skip(self, seq: int, last: str) -> None:
        """It was cut: the first record there is comes after that of number `seq` and hash `last`."""
        if seq > self.seq:
            self.seq, self.hash = seq, last

    def follow(self, record: Link) -> str | None:
        """The fault of the next record; None if it is as it was written. After a fault the rest means nothing."""
        if record.seq != self.seq + 1:
            return f"record {self.seq + 1} is missing; the next one there is {record.seq} ({record.id})"
        if record.previous != self.hash or record.hash != hash_of(record, self.hash):
            return f"record {record.seq} ({record.id}) is not as it was written"
        self.seq, self.hash = record.seq, record.hash
        return None

    def end(self, seq: int, last: str) -> str | None:
        """The fault of the end, which should be at record `seq` with the hash `last`."""
        if self.seq < seq:
            return f"record {self.seq + 1} is missing; {seq} were written"
        if self.seq > seq:
            return f"record {seq + 1} was added from outside; {seq} were written"
        return None if self.hash == last else f"record {seq} is not the last that was written"
