"""What a policy keeps of the text around a match. It is kept encrypted (`record.py`), and told nowhere else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from server.moderation.decisions import Excerpt, Match

MOST_EXCERPTS = 10  # of one decision


class Source(NamedTuple):
    """Where a match was found: a text, perhaps in pieces and perhaps growing, that begins at `base`."""

    pieces: Sequence[str]
    base: int = 0


def excerpts_of(matches: Sequence[Match], sources: Sequence[Source], chars: int) -> tuple[Excerpt, ...]:
    """Of the first matches, each once: what an earlier one shows is not shown again. `chars` characters at most of
    each, with the match in the middle; of a longer match its beginning.
    """
    found: list[Excerpt] = []
    for index, (match, source) in enumerate(zip(matches, sources, strict=True)):
        shown = any(
            sources[one.match] == source and one.start <= match.start and match.end <= one.start + len(one.text)
            for one in found
        )
        if not shown:
            found.append(_excerpt(index, match, source, chars))
        if len(found) == MOST_EXCERPTS:
            break
    return tuple(found)


def _excerpt(index: int, match: Match, source: Source, chars: int) -> Excerpt:
    text = "".join(source.pieces)
    first, last = match.start - source.base, match.end - source.base
    beside = max(0, chars - (last - first)) // 2
    start = max(0, min(first - beside, len(text) - chars))
    start = min(start, first)
    return Excerpt(index, start + source.base, text[start : start + chars])
