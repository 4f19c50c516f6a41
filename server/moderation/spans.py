"""From spans in a text that judges were shown as one back to the texts that it was made of. Pure; in code points."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec

from server.moderation.edits import Edit, applied, extended, merged
from server.moderation.input import within_json

_STRUCTURE = ' \t\r\n"{}[]:,\\'  # of JSON: what a span may take along at its ends and must not cut


class Place(NamedTuple):
    """`texts[part][start:end]`."""

    part: int
    start: int
    end: int


def places(start: int, end: int, sizes: Sequence[int], joint: int) -> Iterator[Place]:
    """What a span covers of texts of these sizes, between which `joint` characters stand; none is empty."""
    begins = list(accumulate(sizes[:-1], lambda at, size: at + size + joint, initial=0))
    for part in range(bisect_right(begins, start) - 1, len(sizes)):
        first, last = max(0, start - begins[part]), min(sizes[part], end - begins[part])
        if begins[part] >= end:
            return
        if first < last:
            yield Place(part, first, last)


def edits_of(text: str, edits: Iterable[Edit], *, in_json: bool) -> list[Edit] | None:
    """What to make of a text so that all of it is replaced, merged. None where JSON text would be none any more."""
    if not in_json:
        return merged(extended(edits, text))
    inner = [one for edit in edits if (one := _within(text, edit)).start < one.end]
    made = merged(extended(inner, text, in_json=True))
    return None if _is_json(text) and not _is_json(applied(text, made)) else made


def _within(text: str, edit: Edit) -> Edit:
    cut = text[edit.start : edit.end]
    start, end = edit.start + len(cut) - len(cut.lstrip(_STRUCTURE)), edit.start + len(cut.rstrip(_STRUCTURE))
    return Edit(start, end, within_json(edit.replacement), edit.order)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True
