"""Texts of a request as they follow on each other: whoever cuts a word in two and sends the halves in two messages,
parts, fields or strings of a schema has said it all the same. Pure.

How texts go together nobody knows, so they are read in several ways: each two as if nothing else were there, all with
nothing between and all with a space. Literals are looked for in every combination of those (`crossing.py`). Names stand
beside the texts, as keys do beside what they name: they could part the halves of a word or be one of them. Strings of a
schema are often short and without a word between, as the codes of countries are: no two of them are read as if nothing
else were there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, pairwise
from typing import NamedTuple

from server.moderation.policy import Channel
from server.moderation.segments import Segment

SEAM = 512  # characters on both sides of a seam: more than any literal
LONGEST = 4096  # characters that are read in one go
GAP = "\ue003"  # a private-use character stands for what lies between two seams, and is part of no word


class Place(NamedTuple):
    """`start` to before `end` of the text of a segment, by its index."""

    segment: int
    start: int
    end: int


class _Piece(NamedTuple):
    text: str
    segment: int
    offset: int | None  # in the segment; None: the text stands there in another form
    beside: bool


class Walk:
    """Pieces one after the other, with `between` them. `decoded`: what is encoded in them is looked at too."""

    def __init__(
        self, pieces: Sequence[_Piece], segments: Sequence[Segment], between: str = "", *, decoded: bool = False
    ) -> None:
        self.decoded = decoded
        self.texts = [piece.text for piece in pieces]
        self._pieces = pieces
        self._segments = segments
        self._starts: list[int] = []
        size = 0
        for piece in pieces:
            self._starts.append(size)
            size += len(piece.text) + len(between)
        self.text = between.join(self.texts)

    def places(self, start: int, end: int) -> list[Place]:
        """Where `text[start:end]` is in the segments; none for what lies in one text, which is looked at by itself.

        Of a schema it is the whole, once a string of it is concerned.
        """
        at = bisect_right(self._starts, start) - 1
        found: list[Place] = []
        while at < len(self._pieces) and self._starts[at] < end:
            piece, begin = self._pieces[at], self._starts[at]
            first, last = max(start - begin, 0), min(end - begin, len(piece.text))
            if piece.offset is None:
                found.append(Place(piece.segment, 0, len(self._segments[piece.segment].text)))
            elif last > first:
                found.append(Place(piece.segment, piece.offset + first, piece.offset + last))
            at += 1
        if len({one.segment for one in found}) < 2 and self._pieces[at - 1].offset is not None:
            return []
        return list(dict.fromkeys(found))


def walks(segments: Sequence[Segment], channel: Channel) -> Iterator[Walk]:
    """The ways of reading the texts of a channel, each of little more than `LONGEST` characters."""
    pieces = _pieces_of(segments, channel)
    if len(pieces) < 2:
        return
    texts = [piece for piece in pieces if not piece.beside]
    written = [piece for piece in texts if piece.offset is not None]
    runs = [tuple(part) for part in _slices(texts)]
    for part in runs:
        yield Walk(part, segments, decoded=True)
    for pair in dict.fromkeys(chain(pairwise(texts), pairwise(pieces))):
        if pair not in runs and pair[0].segment != pair[1].segment and None not in (pair[0].offset, pair[1].offset):
            yield Walk(pair, segments)
    for part in _slices(written):
        yield Walk(part, segments, " ")
    for _, schema in groupby([piece for piece in pieces if piece.offset is None], lambda one: one.segment):
        for part in _slices(list(schema)):
            yield Walk(part, segments)


def crossings(segments: Sequence[Segment], channel: Channel) -> Iterator[Walk]:
    """The texts of a channel one after the other, without the names beside them and with them; none of a schema."""
    if len(segments) < 3:
        return
    pieces = _pieces_of(segments, channel)
    written = [piece for piece in pieces if piece.offset is not None]
    texts = [piece for piece in written if not piece.beside]
    for some in (texts, written) if len(texts) < len(written) else (texts,):
        if len(some) > 2:
            yield Walk(some, segments)


def _slices(pieces: Sequence[_Piece]) -> Iterator[Sequence[_Piece]]:
    """Runs of pieces that overlap by more than any literal."""
    start = 0
    while len(pieces) - start > 1:
        end, size = start, 0
        while end < len(pieces) and size < LONGEST:
            size += len(pieces[end].text)
            end += 1
        yield pieces[start:end]
        if end == len(pieces):
            return
        back = 0
        while end - 1 > start + 1 and back < SEAM:
            end -= 1
            back += len(pieces[end].text)
        start = end


def _pieces_of(segments: Sequence[Segment], channel: Channel) -> list[_Piece]:
    """Of the texts that a model reads with others."""
    mine = [(index, one) for index, one in enumerate(segments) if one.channel == channel and not one.alone]
    return [piece for index, one in mine for piece in _pieces(index, one)]


def _pieces(index: int, segment: Segment) -> Iterator[_Piece]:
    for text, is_key in segment.strings:
        yield _Piece(text if len(text) <= 2 * SEAM else text[:SEAM] + GAP + text[-SEAM:], index, None, is_key)
    if segment.strings:
        return
    text = segment.text
    if len(text) <= 2 * SEAM:
        yield _Piece(text, index, 0, segment.beside)
    else:
        yield _Piece(text[:SEAM] + GAP, index, 0, segment.beside)
        yield _Piece(text[-SEAM:], index, len(text) - SEAM, segment.beside)
