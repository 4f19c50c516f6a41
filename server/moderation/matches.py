"""What the deterministic matchers of tier 0 have in common: the one for literals and the one for regexes.

The contract, for ANY split of a text into parts, empty ones included:

- All that the `feed`s and `finish` told, sorted, is `scan` of the whole text: each match once, none too many.
- At every moment before a match is told, once its first character has come, `hold_from` is at most its `start`. So if
  only what lies before `hold_from` leaves, no character of a match has left when the match is told.
- `hold_from` never falls, and is never more than the length of the text so far. After `finish` it is that length.

Offsets are in code points of the original text, from its beginning, whatever a matcher does to it before it looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class Found(NamedTuple):
    """One match: the characters from `start` to before `end` of the whole text."""

    start: int
    end: int
    pattern: int  # index into the list that the matcher was built from


class Matcher(Protocol):
    """Immutable: all calls under a policy share it, in whatever threads."""

    def scan(self, text: str) -> list[Found]:
        """Every match of every pattern in a whole text, overlapping ones too, ordered by (start, end, pattern)."""
        ...

    def stream(self) -> Stream:
        """For a text that comes in parts."""
        ...

    def across(self, pieces: Sequence[str]) -> Iterator[list[Found]]:
        """For each piece what ends in it and lies over three pieces or more, wherever a space stands between two and
        wherever none does; by offsets in all pieces joined with nothing between. What lies over fewer may be told too.
        """
        ...


class Stream(Protocol):
    """One text that comes in parts. Belongs to one call and one channel of it."""

    @property
    def hold_from(self) -> int:
        """What lies before this offset can no longer become part of a match that was not told yet: it may leave."""
        ...

    def feed(self, text: str) -> list[Found]:
        """The next part. Matches that are certain now and were not told before, ordered by (start, end, pattern)."""
        ...

    def finish(self) -> list[Found]:
        """The text is over: the matches that were not certain before, ordered by (start, end, pattern)."""
        ...
