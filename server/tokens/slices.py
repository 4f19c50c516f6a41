"""Long text in slices that have, one by one, exactly the tokens of the whole. Pure.

The vocabulary (o200k) first cuts a text into words by a regular expression that does not look back, then each word
into tokens. So where a word surely ends the text may be cut. It surely ends
- after a letter or digit, before white space or punctuation (but for an apostrophe, as in don't);
- between a letter and a digit;
- after a new line, before anything but white space or a slash.

Encoding one word takes time in the square of its length: 100,000 letters in a row 3.4 s, 400,000 a minute. A stretch
of more than `LONGEST` characters without such a place is therefore not encoded but counted by its bytes, which are
never fewer than its tokens. No text in any language is like that; the engine is slow with it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 512
WINDOW = 65_536  # characters that are looked at in one step
_CUT = re.compile(
    r"(?<=[^\W_])(?=[ \t\r\n!-&(-/:-@\[-_{-~，。！？；：、（）《》「」…—“”])"
    r"|(?<=[A-Za-z])(?=[0-9])"
    r"|(?<=[0-9])(?=[A-Za-z])"
    r"|(?<=\n)(?=[^\s/])"
)


class Slice(NamedTuple):
    text: str
    encodable: bool


def slices(text: str, size: int) -> Iterator[Slice]:
    """In order and without gaps; encodable ones have at most about `size` characters, others `WINDOW`."""
    start = at = 0
    while len(text) - at > LONGEST:
        cut = _next_cut(text, at)
        if cut is not None and cut - start <= size:
            at = cut
            continue
        if at > start:
            yield Slice(text[start:at], encodable=True)
            start = at
        if cut is not None:
            at = cut
            continue
        for end in _stretch(text, at):
            yield Slice(text[at:end], encodable=False)
            start = at = end
    if start < len(text):
        yield Slice(text[start:], encodable=True)


def _next_cut(text: str, at: int) -> int | None:
    """A cut at most `LONGEST` characters on, far ahead if there is one."""
    half = LONGEST // 2
    found = _CUT.search(text, at + half, at + LONGEST + 1) or _CUT.search(text, at + 1, at + half + 1)
    return found.start() if found else None


def _stretch(text: str, at: int) -> Iterator[int]:
    """The way to the next cut, in steps."""
    found = None
    while found is None and at < len(text):
        end = min(at + WINDOW, len(text))
        found = _CUT.search(text, at + 1, end + 1)
        at = found.start() if found else end
        yield at
