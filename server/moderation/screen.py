"""Tells of a whole text, in a tenth of the time that finding takes, that no literal can be in it.

Sound and not complete: what it lets through is looked at properly. Of each form it knows one word, or part of one, that
a text must have. A text is seen in two ways: its symbols as separators, and as the letters they may stand for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from server.moderation.forms import INNER, STOP, Form
from server.moderation.normalise import UNITS, Kind, Unit, is_unspaced

_MIXED = re.compile("[A-Z][^ ]*[A-Z]")  # symbols in one word, of which some may be letters and some not
_SYMBOL = re.compile("[A-Z]")
_INNER = re.compile(f"[{''.join(INNER).upper()}]")  # these are never letters that are spelled out
_SPELLED = re.compile(" [^ ] [^ ] [^ ] ")


class _View(dict[int, str | None]):
    """For `str.translate`: letters in small, symbols in capital letters, separators as spaces. Letters of scripts
    without spaces are words by themselves, doubled: so they are no letters that are spelled out.
    """

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        seen = "".join(map(_seen, UNITS[char])) or None
        if char in UNITS:
            self[code] = seen
        return seen


def _seen(unit: Unit) -> str:
    if unit.kind == Kind.UNSPACED:
        return f" {unit.char * 2} "
    return unit.char.upper() if unit.kind == Kind.SYMBOL else unit.char


_VIEW = _View()


class Screen:
    def __init__(self, forms: Iterable[Form]) -> None:
        self._words: set[str] = set()  # of each form one that it has as a whole word
        self._parts: set[str] = set()  # or one that may be a part of a word
        self._spelled = False
        for form in forms:
            self._add(form)

    def _add(self, form: Form) -> None:
        words = _words(form.symbols)
        whole = words[int(len(form.symbols[0]) == 1) : len(words) - int(not form.ends_word)]
        unspaced = [word * 2 for word in words if is_unspaced(word)]
        if unspaced:
            self._words.add(unspaced[-1])
        elif len(words) > 2 and max(map(len, words)) == 1:
            self._spelled = True
        elif whole:
            self._words.add(max(whole, key=len))
        else:
            self._parts.add(max(words, key=len))

    def may_match(self, text: str) -> bool:
        view = text.translate(_VIEW)
        letters = view.lower()
        if letters == view:
            return self._seen(letters, letters)
        if _MIXED.search(view):
            return True
        singles = _SYMBOL.sub(r" \g<0> ", _INNER.sub(" ", view))
        return self._seen(_SYMBOL.sub(" ", view), singles) or self._seen(letters, "")

    def _seen(self, view: str, singles: str) -> bool:
        words = view.split()
        if not self._words.isdisjoint(words) or any(part in view for part in self._parts):
            return True
        if not (self._spelled and singles):
            return False
        separate = words if singles is view else singles.split()
        return _SPELLED.search(f" {' '.join(separate)} ") is not None


def _words(symbols: Sequence[str]) -> list[str]:
    """What stands between separators, or by itself: a letter of a script without spaces does."""
    words: list[str] = []
    for symbol in symbols:
        if symbol == STOP:
            continue
        if len(symbol) > 1 or is_unspaced(symbol) or not words:
            words.append(symbol[-1])
        else:
            words[-1] += symbol
    return words
