"""How a literal may be written and still be that literal: the rules of tier 0, apart from how they are found.

A literal's letters are the letters and digits of its normal form (see `normalise`), and the symbols that may stand for
letters (@ $, and ! | + behind one of those) in one run with a letter or digit. What else stands between two letters,
however much, is a separator. A text has the literal where it has its letters, one after the other, each where the one
before ends, but for this:

- *Own separators.* Where the literal has one, the text may have one to three, of any kind; or none at all in the whole
  literal (`project lantern`: `project-lantern`, `ProjectLantern`). Between two digits there must be one.
- *Loose.* Beside a letter of a script without spaces a text may have up to three separators, if none is a stop
  (`Kind.STOP`: a comma, a bracket, a quotation mark, a new line). Such scripts have no spaces that could be misread.
- *Spelled out.* Three letters and more, not all of them digits, may be spelled out: one to three separators of any
  kind between all of them (`b.o m-b`). Both ends are at word boundaries then. Nothing between: a word that is cut once
  is no match, for so are `pen is` and `who're`. Beside letters of scripts without spaces only stops count as such.
- *Word boundaries.* Before a first letter, and after a last one, of a script with spaces the original text has no
  letter or digit of such a script. `boundaries=False` lifts this for one literal.
- *Letters in another's stead* (leet) need three letters and at least one that is itself, and of all letters fewer than
  two in three may be digits: `A55` and `1000` are no words. A digit of the literal is that digit only: `c4` is not
  `CA`. `!`, `|` and `+` stand for one only right behind another, and for no last one. A capital I is an l among small
  letters (`kiIl`), an l is an i where a later letter is a capital (`BlTCH`).
- *Small Cyrillic letters* в к м н т stand for the Latin letters of their shape in a word of three letters and more, of
  which one is no letter of Russian; or of five and more, which no Russian word spells by chance.
- *Symbols* that may be letters (`Kind.SYMBOL`) are separators within a match up to one of them, and letters from that
  one on; at most three letters in a row are symbols.

Vanishing characters count nowhere. More than three separators end everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import dropwhile, groupby, pairwise
from typing import NamedTuple

from server.moderation.normalise import SMALL_CAPITALS, Kind, Unit, normalise

MOST_SEPARATORS = 3  # between two letters; without an end to it a stream would have to hold without end
SPELLED_LETTERS = 3  # with fewer, initials and enumerations are words
LEET_LETTERS = 3
ALL_RUSSIAN_LETTERS = 5

STOP = " "  # the symbol for separators with a stop among them, beside a letter of a script without spaces

_DIGITS = "0123456789"
INNER = frozenset("it")  # what symbols stand for only behind a letter and not at the end: elsewhere they punctuate
SYMBOLS_IN_A_ROW = 3  # that are letters: `@$$hole`, and no line of dollars


class Literal(NamedTuple):
    """What a policy names: a word, a phrase, a number."""

    text: str
    boundaries: bool = True  # begins and ends with a word, where its script has spaces between words


class Form(NamedTuple):
    """One way of writing a literal: the symbols of a text that is that."""

    symbols: tuple[str, ...]  # `Unit.first` for a letter that begins a word, `Unit.char` for another, and STOP
    pattern: int  # index of the literal
    plain: str  # its letters before they were merged
    ends_word: bool  # there is a word boundary behind it


def forms(pattern: int, literal: Literal) -> list[Form]:
    """All ways of writing one literal. Raises ValueError if it has no letter and no digit."""
    found: dict[tuple[tuple[str, ...], str], Form] = {}
    in_words: set[tuple[str, ...]] = set()
    for text in _casings(literal.text):
        letters, gaps = _letters(text)
        if not letters:
            raise ValueError(f"literal {pattern} has no letter and no digit")
        plain = "".join(letter.plain for letter in letters)
        ends = letters[-1].kind != Kind.UNSPACED
        for apart in _spacings(letters, gaps):
            for symbols in _symbols(letters, apart, anywhere=not literal.boundaries):
                found[symbols, plain] = Form(symbols, pattern, plain, ends and literal.boundaries)
                in_words.add(symbols)
        for apart in _spellings(letters, plain):
            for symbols in _symbols(letters, apart, anywhere=False):
                if symbols not in in_words:
                    found[symbols, plain] = Form(symbols, pattern, plain, ends)
    return list(found.values())


def _casings(text: str) -> set[str]:
    """Letters of other scripts look like ASCII's in one case and not in the other, so each case is looked at."""
    return {text} if text.isascii() else {text, text.lower(), text.upper(), text.title()}


def _letters(text: str) -> tuple[list[Unit], set[int]]:
    """The letters, and the indexes of those that have a separator before them."""
    letters: list[Unit] = []
    gaps: set[int] = set()
    for is_run, run in groupby((unit for unit, _ in normalise(text)), lambda unit: unit.kind <= Kind.SYMBOL):
        word = list(dropwhile(is_inner, run)) if is_run else []
        if any(unit.kind != Kind.SYMBOL for unit in word):
            gaps.add(len(letters))
            letters += word
    return letters, gaps - {0}


def _spacings(letters: Sequence[Unit], gaps: set[int]) -> Iterator[set[int]]:
    """Before which letters the text has separators that count, if it is written in words."""
    if not any(letters[at - 1].plain in _DIGITS and letters[at].plain in _DIGITS for at in gaps):
        yield set()
    yield {at for at in gaps if not _is_loose(letters, at)}
    yield gaps


def _spellings(letters: Sequence[Unit], plain: str) -> Iterator[set[int]]:
    """The same, if it is spelled out."""
    if len(letters) < SPELLED_LETTERS or all(char in _DIGITS for char in plain):
        return
    every = set(range(1, len(letters)))
    yield {at for at in every if not _is_loose(letters, at)}
    yield every


def _is_loose(letters: Sequence[Unit], at: int) -> bool:
    return Kind.UNSPACED in (letters[at - 1].kind, letters[at].kind)


def _symbols(letters: Sequence[Unit], apart: set[int], *, anywhere: bool) -> Iterator[tuple[str, ...]]:
    """With the letters `apart` behind separators; for `anywhere`, begun within a word too."""
    rest: list[str] = []
    for at, (before, letter) in enumerate(pairwise(letters), 1):
        if Kind.UNSPACED not in (before.kind, letter.kind):
            rest.append(letter.first if at in apart else letter.char)
        else:
            rest += [STOP, letter.first] if at in apart else [letter.first]
    yield (letters[0].first, *rest)
    if anywhere:
        yield (letters[0].char, *rest)


def is_inner(unit: Unit) -> bool:
    """Whether it is a symbol that is a letter only within a word: ! | + and what looks like them."""
    return unit.kind == Kind.SYMBOL and unit.char in INNER


def spells(plain: str, units: Sequence[Unit]) -> bool:
    """Whether letters of a text, merged the same as those of a literal, may stand for them. Both are of one length."""
    if "".join([unit.plain for unit in units]) == plain:
        return True
    if len(units) < LEET_LETTERS:
        return False
    letters = digits = cyrillic = 0
    for want, unit in zip(plain, units, strict=True):
        have = unit.plain
        if have == want:
            letters += have not in _DIGITS and unit.kind != Kind.SYMBOL
        elif want in _DIGITS or want in SMALL_CAPITALS:
            return False
        elif SMALL_CAPITALS.get(have) == want:
            cyrillic += 1
            letters += 1
        elif have in _DIGITS:
            digits += 1
        elif unit.kind != Kind.SYMBOL:
            if not (have == "|" or not want.isalpha() or _is_taken_for(want, unit, units)):
                return False
            letters += 1
    last = units[-1]
    ends_well = last.plain == plain[-1] or not is_inner(last)
    latin = not cyrillic or len(units) >= ALL_RUSSIAN_LETTERS or _is_mixed(units)
    return latin and ends_well and letters > 0 and 3 * digits < 2 * len(units)


def _is_mixed(units: Sequence[Unit]) -> bool:
    """Whether one of the letters is none of Russian."""
    return any(unit.plain.isalpha() and not unit.russian for unit in units)


def _is_taken_for(want: str, unit: Unit, units: Sequence[Unit]) -> bool:
    """Whether an i can be meant as an l, or an l as an i."""
    if want == "l":
        return unit.capital and any(one.plain.isalpha() and not one.capital for one in units)
    return not unit.capital and any(one.capital for one in units[1:])
