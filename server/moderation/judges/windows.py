"""Texts too long for one question: cut into windows that overlap, and the verdicts put together again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from server.moderation.judges.categories import scores
from server.moderation.judges.verdicts import Failure, Span, Verdict


class Windows(NamedTuple):
    """Windows of `chars` characters, of which `overlap` are in the one before; at most `most` of them for a text.

    What stands across an edge is seen whole if it is no longer than `overlap`.
    """

    chars: int
    overlap: int
    most: int


class Range(NamedTuple):
    """Characters `start` to before `end`."""

    start: int
    end: int


def cut(length: int, windows: Windows) -> list[Range]:
    """Where to cut a text. If `most` are too few: its beginning and its end, without what is between."""
    chars, overlap, most = windows
    if length <= chars:
        return [Range(0, length)]
    step = chars - overlap
    needed = -(-(length - overlap) // step)
    ranges = [Range(at * step, min(at * step + chars, length)) for at in range(min(needed, most))]
    if needed > most > 1:
        # Never right behind the one before, without the overlap: that would pass for a text seen whole.
        ranges[-1] = Range(max(length - chars, ranges[-2].end + 1), length)
    return ranges


def combined(parts: Sequence[tuple[Range, Verdict | Failure]], length: int) -> Verdict | Failure:
    """One outcome of those of the windows. A flagged window decides, whatever became of the others; else a failed
    one does.
    """
    judged = [(where, one) for where, one in parts if isinstance(one, Verdict)]
    flagged = [one for _, one in judged if one.flagged]
    if not flagged:
        for _, outcome in parts:
            if isinstance(outcome, Failure):
                return outcome
    return Verdict(
        flagged=bool(flagged),
        categories=scores(chain.from_iterable(one.categories.items() for _, one in judged)),
        reason=(flagged[0] if flagged else judged[0][1]).reason,
        scanned=covered(where for where, _ in judged),
        length=length,
        spans=_joined(judged),
    )


def covered(ranges: Iterable[Range]) -> int:
    """How many characters are in any of the ranges, which are in order."""
    total = upto = 0
    for start, end in ranges:
        total += max(0, end - max(start, upto))
        upto = max(upto, end)
    return total


def _joined(judged: Iterable[tuple[Range, Verdict]]) -> tuple[Span, ...]:
    """Spans of the whole text; those of one label that overlap are one, as both windows saw a part of it."""
    moved = [
        Span(one.label, one.start + where.start, one.end + where.start, one.score)
        for where, verdict in judged
        for one in verdict.spans
    ]
    last: dict[str, Span] = {}
    done: list[Span] = []
    for span in sorted(moved, key=lambda one: (one.start, one.end)):
        before = last.get(span.label)
        if before is not None and span.start < before.end:
            span = Span(span.label, before.start, max(before.end, span.end), max(before.score, span.score))  # noqa: PLW2901
        elif before is not None:
            done.append(before)
        last[span.label] = span
    return tuple(sorted((*done, *last.values()), key=lambda one: (one.start, one.end, one.label)))
