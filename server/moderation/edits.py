"""What is cut from a text, and what stands there instead. Pure; spans in code points."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from server.moderation.unescape import escape


class Edit(NamedTuple):
    """`text[start:end]` is replaced. `order` decides between two of the same span."""

    start: int
    end: int
    replacement: str
    order: int = 0


def extended(
    edits: Iterable[Edit], text: str, base: int = 0, *, in_json: bool = False, last: bool = True
) -> list[Edit]:
    """Each with the combining marks directly behind it, which else would go onto what stands there instead.

    `text` begins at offset `base` of the whole. In JSON text a mark may be an escape; one of which more has to come
    counts as a mark, unless this is the `last` of the text.
    """
    return [one._replace(end=_behind_marks(text, one.end - base, in_json, last) + base) for one in edits]


def _behind_marks(text: str, at: int, in_json: bool, last: bool) -> int:
    while at < len(text):
        size, char = escape(text, at, last=last) if in_json and text[at] == "\\" else (1, text[at])
        if not size:
            return len(text)
        if unicodedata.category(char)[0] != "M":
            break
        at += size
    return at


def merged(edits: Iterable[Edit]) -> list[Edit]:
    """Those that overlap become one, with the replacement of the one that begins first; of those, the longest.

    The same whatever order they come in.
    """
    out: list[Edit] = []
    for edit in sorted(edits, key=lambda one: (one.start, -one.end, one.order)):
        if out and edit.start < out[-1].end:
            if edit.end > out[-1].end:
                out[-1] = out[-1]._replace(end=edit.end)
        else:
            out.append(edit)
    return out


def applied(text: str, edits: Sequence[Edit], base: int = 0) -> str:
    """`text`, which begins at offset `base` of the whole, with `edits` (merged, all within it) made."""
    if not edits:
        return text
    parts: list[str] = []
    at = 0
    for start, end, replacement, _ in edits:
        parts += (text[at : start - base], replacement)
        at = end - base
    parts.append(text[at:])
    return "".join(parts)
