"""Literals over texts that follow on each other, cut wherever one likes: in as many pieces as one likes.

What stands between two pieces nobody knows. So each seam is read as nothing and as a space, and all seams in every
combination: as many readings as there are ways to have come here. Most of them soon stand where others do, and one of
those is enough: a literal has few ways of being spaced.

Only matches over three pieces and more are looked for. One over two is found by reading these two alone. So there is a
piece that lies within a literal as a whole, which hardly any text does, and a beginning of a literal before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from server.moderation.literal_stream import LiteralStream
from server.moderation.matches import Found
from server.moderation.normalise import UNITS
from server.moderation.reading_set import ReadingSet
from server.moderation.readings import NOTHING, Reading, Table

R = TypeVar("R", bound=Reading)
BLOCK = 16  # characters between two looks at which readings lead nowhere


class Known(Protocol):
    """The literals."""

    @property
    def table(self) -> Table: ...

    @property
    def reach(self) -> int:
        """No match has more visible characters."""
        ...

    def inner(self, text: str) -> bool:
        """False for a text that does not lie within a literal as a whole."""
        ...


def across(pieces: Sequence[str], known: Known) -> Iterator[list[Found]]:
    """For each piece the matches that end in it, by offsets in all pieces joined with nothing between."""
    readings = ReadingSet(known.table)
    start, inner = 0, False
    for at, piece in enumerate(pieces):
        found: list[Found] = []
        if readings.bases or readings.forks:
            _cross_seam(readings)
            _read(readings, piece, start, found)
            found += readings.pending  # a seam is a word's end
            readings.pending.clear()
        goes_on = at + 2 < len(pieces) and known.inner(pieces[at + 1])
        if goes_on:
            _begin(readings, piece, start, known.reach)
        elif not inner:
            readings = ReadingSet(known.table)
        inner = goes_on
        start += len(piece)
        yield sorted(set(found))


def _cross_seam(readings: ReadingSet) -> None:
    """Each reading goes on with nothing between and with a space."""
    readings.bases = _each_once([one for base in readings.bases for one in (base, _spaced(base))])
    readings.forks = _each_once([one for fork in readings.forks for one in (fork, _spaced(fork))])


def _spaced(reading: R) -> R:
    other = reading.copy()
    other.separator(stop=False)
    return other


def _each_once(readings: list[R]) -> list[R]:
    """One for each place: of those the same is to be told. A place at which nothing is begun is none."""
    return list({one.place(): one for one in readings if one.state}.values())


def _read(readings: ReadingSet, piece: str, start: int, found: list[Found]) -> None:
    """A piece that begins at `start`. Left are the readings of what began before it."""
    for block in range(0, len(piece), BLOCK):
        _take(readings, piece[block : block + BLOCK], start + block, found)
        readings.bases = [one for one in readings.bases if _holds_before(one, start)]
        readings.forks = [one for one in readings.forks if _holds_before(one, start)]
        if not (readings.bases or readings.forks or readings.pending):
            return


def _holds_before(reading: Reading, start: int) -> bool:
    held = reading.hold_from()
    return held is not None and held < start


def _take(readings: ReadingSet, text: str, start: int, found: list[Found]) -> None:
    table = readings.table
    for offset, char in enumerate(text, start):
        step = table.steps.get(char) or table.learn(char)
        if step[0] != NOTHING:
            readings.take(char, step, offset, found)


def _begin(readings: ReadingSet, piece: str, start: int, reach: int) -> None:
    """Take up what is begun at the end of a piece that begins at `start`."""
    tail = _tail(piece, reach)
    stream = LiteralStream(readings.table)
    stream.feed(tail)
    if stream.hold_from == len(tail):
        return
    begun = tail.rfind(" ", 0, stream.hold_from) + 1  # with what stands before it in its word
    new = ReadingSet(readings.table, Reading(readings.table))
    _take(new, tail[begun:], start + len(piece) - len(tail) + begun, [])
    readings.bases += new.bases
    readings.forks += new.forks


def _tail(text: str, reach: int) -> str:
    """The end of a text in which a literal may begin that goes on behind it."""
    visible = (at for at in range(len(text) - 1, -1, -1) if UNITS[text[at]])
    return text[next(islice(visible, reach - 1, None), 0) :]
