"""What matchers find, in a whole text or in one that comes in parts.

For any split into parts, what `feed` and `finish` tell together is what `scan` tells of the whole text.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Found(NamedTuple):
    """Where a pattern was found: code points of the original text, from the beginning of the whole text."""

    start: int
    end: int
    pattern: int
    """Its index in the list that the matcher was built from."""


class Matcher(Protocol):
    """Immutable, and shared by all calls under a policy."""

    def scan(self, text: str) -> list[Found]:
        """Everything in a whole text, ordered by (start, end, pattern)."""
        ...

    def stream(self) -> Stream: ...


class Stream(Protocol):
    """One text that comes in parts."""

    hold_from: int
    """Offset into the whole text: what lies before it can no longer become part of a match that was not told yet.

    Until a match is told, `hold_from` is at most its start, once its first character has come.
    """

    def feed(self, text: str) -> list[Found]:
        """The matches that are certain now and were not told before."""
        ...

    def finish(self) -> list[Found]:
        """The matches that become certain because nothing follows."""
        ...
