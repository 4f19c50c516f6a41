"""What a text says, whatever it is written in: a normal form per character, each with its place in the original.

Every character (code point) is looked up by itself, so the sequence is a function of the text alone, however it is cut.
In this order, after the "Normalisation" section of Unicode's UAX 15 and the confusables of UTS 39:

1. Tag characters are the ASCII that they tag; regional indicators and letters in negative circles and squares are
   their letters.
2. The compatibility decomposition (NFKD): full-width, mathematical, circled and other forms. Hangul syllables and kana
   stay whole: what comes off them is part of the letter.
3. Marks (Mn, Me), format characters (Cf: zero-width, soft hyphen, bidi), controls and fillers vanish.
4. Digits of any script are ASCII's. What looks like a letter of ASCII is that letter (before case folding, then after).
   Small Cyrillic letters of the shape of Latin capitals (в к м н т) look like one only in company: `forms.spells`.
5. Traditional Chinese characters are simplified, one by one. Case is folded.
6. Letters that are written in one another's stead are one: i l 1 | !, o 0, a 4 @, e 3, s 5 $, t 7 +, b 8, g 9, c and
   the cent sign, e and the euro. `plain` keeps which it was.

What Python's version knows of Unicode decides about the newest characters. Bidi overrides are not resolved: a policy
refuses them, see `has_bidi_override`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

_DATA = Path(__file__).with_name("data")


class Kind(IntEnum):
    """What a normalised character is for the matching of words."""

    SPACED = 0  # a letter or digit of a script that has spaces between words
    UNSPACED = 1  # one of a script that has none, or whose particles are written onto the word: Chinese, Thai, Korean
    SYMBOL = 2  # a separator that may stand for a letter: @ $ ! | +
    GAP = 3  # a separator that may stand within a word
    STOP = 4  # one that ends a phrase: a comma, a bracket, a new line


class Unit(NamedTuple):
    """One normalised character."""

    char: str  # what is compared; for a gap and a stop, a space
    plain: str  # before letters were merged: an ASCII digit or symbol that stands for a letter is seen here
    kind: Kind
    capital: bool  # the original was a capital letter
    first: str  # `char` for a letter that begins a word
    russian: bool = False  # the original is a letter of Russian


def has_bidi_override(text: str) -> bool:
    """Whether the text holds bidi embeddings, overrides or isolates, by which it can be read otherwise than written."""
    return _BIDI.search(text) is not None


def first_bidi_override(text: str) -> int:
    """Where the first of them stands in a text that holds one."""
    found = _BIDI.search(text)
    return -1 if found is None else found.start()


def normalise(text: str, offset: int = 0) -> Iterator[tuple[Unit, int]]:
    """The normalised characters of a text, or of the part of one that begins at `offset`, with original offsets."""
    for at, char in enumerate(text, offset):
        for unit in UNITS[char]:
            yield unit, at


class _Units(dict[str, tuple[Unit, ...]]):
    """The units of every character met so far: bounded by the number of characters that Unicode has assigned."""

    def __missing__(self, char: str) -> tuple[Unit, ...]:
        if unicodedata.category(char) in _NO_CHARACTER:
            return _UNKNOWN
        units = self[char] = tuple(_units(char))
        return units


UNITS = _Units()

_NO_CHARACTER = frozenset(("Cn", "Co", "Cs"))  # unassigned, private, surrogates
_GAP = Unit(" ", " ", Kind.GAP, capital=False, first=" ")
_STOP = Unit(" ", " ", Kind.STOP, capital=False, first=" ")
_UNKNOWN = (_GAP,)

_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_FILLERS = "\u115f\u1160\u3164\uffa0"  # letters without ink
_BARS = "ǀƖӀӏᛁⲒⵏꓲ"  # letters that are a vertical bar: read as i and as l, as | is
SMALL_CAPITALS = dict(zip("вкмнт", "bkmht", strict=True))  # of the shape of a Latin capital
_RUSSIAN = re.compile("[а-яёА-ЯЁ]")
_SIGNS = "™℠…‥"  # what they are made of is no part of the word before
_MERGED = dict(zip("l1|!0435$7+@89¢€", "iiiioaesstta" + "bgce", strict=True)) | SMALL_CAPITALS
_SYMBOLS = frozenset("@$!|+¢€")
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u19e0-\u19ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\ua4cf"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00016fe0-\U00018aff\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)
_STOPS = frozenset(",;:?!\"'/\\|<>&–—―…‥、。\n\r\v\f\x1c\x1d\x1e\x85")  # beside brackets and quotation marks
_WHOLE = re.compile("[\u3041-\u30ff\uac00-\ud7a3]")


def _table(name: str) -> Iterator[str]:
    lines = (_DATA / name).read_text(encoding="utf-8").splitlines()
    return (line for line in lines if not line.startswith("#"))


_LOOKS = {char: look for look, chars in (line.split("\t") for line in _table("confusables.txt")) for char in chars}
_SIMPLER = {line[at]: line[at + 1] for line in _table("simplified.txt") for at in range(0, len(line), 2)}


def _untagged(char: str) -> str:
    code = ord(char)
    if 0xE0020 <= code <= 0xE007E:
        return chr(code - 0xE0000)
    for first in (0x1F1E6, 0x1F150, 0x1F170):  # regional indicators, negative circled, negative squared
        if first <= code < first + 26:
            return chr(code - first + ord("A"))
    return char


def _vanishes(char: str, category: str) -> bool:
    return category in ("Mn", "Me", "Cf") or char in _FILLERS or (category == "Cc" and not char.isspace())


def _units(char: str) -> Iterator[Unit]:
    if char in _SIGNS:
        yield _separator(char)
        return
    char = _untagged(char)
    for one in char if _WHOLE.match(char) else unicodedata.normalize("NFKD", char):
        category = unicodedata.category(one)
        if _vanishes(one, category):
            continue
        if category[0] in "LNM":
            yield from _letters(one, category)
        else:
            yield _mark(one)


def _letters(char: str, category: str) -> Iterator[Unit]:
    capital = category in ("Lu", "Lt")
    if category == "Nd":
        yield _letter(str(unicodedata.decimal(char)), capital=False)
    elif char in _BARS:
        yield _letter("|", capital=False)
    else:
        for plain in _SIMPLER.get(char) or _look(char) or char.casefold():
            if not _vanishes(plain, unicodedata.category(plain)):
                yield _letter(plain, capital=capital, russian=_RUSSIAN.match(char) is not None)


def _look(char: str) -> str:
    """The ASCII that a letter looks like, in lower case, or nothing."""
    look, folded = _LOOKS.get(char, "").lower(), _LOOKS.get(char.casefold(), "").lower()
    # A capital iota looks like l and is an i: what it is in lower case decides, as for I itself.
    return folded if look == "l" and folded else look or folded


def _letter(plain: str, *, capital: bool, russian: bool = False) -> Unit:
    char = _MERGED.get(plain, plain)
    if is_unspaced(char):
        return Unit(char, plain, Kind.UNSPACED, capital, first=char)
    return Unit(char, plain, Kind.SPACED, capital, first="^" + char, russian=russian)


def _mark(char: str) -> Unit:
    """A punctuation mark, a symbol or a space."""
    look = _LOOKS.get(char, "").lower()
    plain = "|" if look == "l" else char if char in _SYMBOLS else look
    if not plain:
        return _separator(char)
    merged = _MERGED.get(plain, plain)
    return Unit(merged, plain, Kind.SYMBOL, capital=False, first="^" + merged)


def _separator(char: str) -> Unit:
    return _STOP if is_stop(char) else _GAP


def is_unspaced(char: str) -> bool:
    """Whether a normalised letter is of a script without spaces between words."""
    return _UNSPACED.match(char) is not None


def is_stop(char: str) -> bool:
    """Whether a separator ends a phrase: what stands on both sides of it is not read as one word."""
    return char in _STOPS or unicodedata.category(char) in ("Ps", "Pe", "Pi", "Pf", "Zl", "Zp")
