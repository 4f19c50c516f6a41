"""Keys of the database in memory: what is believed, for how long. A pure decider; the clock is passed in.

A key is *fresh* for `lifetime_s` after it was read, *due* later or once the directory has changed: then it is read
again before it is believed. While the database cannot be reached, a due key goes on for `stale_s`. What the database
does not know, or no longer lets in, is remembered too, in a space of its own: a flood of wrong keys pushes out no right
one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from server.call import Key

REFUSED_SIZE = 1024


@dataclass(slots=True)
class Entry:
    key: Key | None  # None: no such key, or it was revoked
    read_at: float
    epoch: int


Freshness = Literal["fresh", "soon", "due", "absent"]
"""`soon`: fresh, and past half of its life: good to use, and time to read it again."""


class KeyCache:
    """By the SHA-256 of the secret. Least recently used entries go first."""

    def __init__(self, size: int, lifetime_s: float, stale_s: float) -> None:
        self._size = size
        self._lifetime_s = lifetime_s
        self._stale_s = stale_s
        self._epoch = 0
        self._known: OrderedDict[bytes, Entry] = OrderedDict()
        self._refused: OrderedDict[bytes, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known) + len(self._refused)

    def look(self, digest: bytes, now: float) -> tuple[Freshness, Key | None]:
        """What is known of a secret. `absent` and `due` have to be read."""
        entry = self._known.get(digest)
        if entry is None:
            entry = self._refused.get(digest)
            if entry is None:
                return "absent", None
            self._refused.move_to_end(digest)
        else:
            self._known.move_to_end(digest)
        age = now - entry.read_at
        if entry.epoch != self._epoch or age > self._lifetime_s:
            return "due", entry.key
        return ("soon" if age * 2 > self._lifetime_s else "fresh"), entry.key

    def put(self, digest: bytes, key: Key | None, now: float, epoch: int) -> None:
        """What was read; `epoch` is that of the moment at which the reading began."""
        kept, other = (self._refused, self._known) if key is None else (self._known, self._refused)
        other.pop(digest, None)
        kept[digest] = Entry(key, now, epoch)
        kept.move_to_end(digest)
        if len(kept) > (REFUSED_SIZE if key is None else self._size):
            kept.popitem(last=False)

    def stale(self, digest: bytes, now: float) -> Key | None:
        """The key that may go on being used while nothing can be read."""
        entry = self._known.get(digest)
        return entry.key if entry is not None and now - entry.read_at <= self._lifetime_s + self._stale_s else None

    @property
    def epoch(self) -> int:
        return self._epoch

    def changed(self) -> None:
        """The directory has changed, who knows where: all is due."""
        self._epoch += 1
