"""The rules of server/moderation/forms.py once more, by brute force: every literal at every place of a whole text.

Independent of the forms, the automaton and the readings; of the code it shares the normal form of single characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.moderation.forms import Literal
from server.moderation.matches import Found
from server.moderation.normalise import Kind, Unit, normalise


class Letter(NamedTuple):
    unit: Unit
    at: int  # among the units of the text
    offset: int


def is_spaced(letter: Letter) -> bool:
    return letter.unit.kind != Kind.UNSPACED


class Wanted:
    """A literal: its letters, and before which of them it has separators of its own."""

    def __init__(self, literal: Literal) -> None:
        units = [unit for unit, _ in normalise(literal.text)]
        self.letters = [Letter(unit, at, 0) for at, unit in enumerate(units) if self._is_letter(units, at)]
        pairs = zip(self.letters, self.letters[1:], strict=False)
        self.own = {number for number, (one, other) in enumerate(pairs, 1) if other.at > one.at + 1}
        self.literal = literal

    @staticmethod
    def _is_letter(units: list[Unit], at: int) -> bool:
        """In a run with a letter or digit, and not a symbol of the inner ones at its beginning."""
        start, end = at, at + 1
        while start > 0 and units[start - 1].kind <= Kind.SYMBOL:
            start -= 1
        while end < len(units) and units[end].kind <= Kind.SYMBOL:
            end += 1
        whole = units[at].kind <= Kind.SYMBOL and any(unit.kind < Kind.SYMBOL for unit in units[start:end])
        return whole and any(not is_inner(unit) for unit in units[start : at + 1])

    def spacings(self) -> Iterator[tuple[set[int], bool]]:
        """Before which letters a separator is that counts, and whether that is spelled out."""
        tight = {
            number
            for number in range(1, len(self.letters))
            if is_spaced(self.letters[number - 1]) and is_spaced(self.letters[number])
        }
        digits = [letter.unit.plain.isdigit() for letter in self.letters]
        if not any(digits[number - 1] and digits[number] for number in self.own):
            yield set(), False
        yield self.own & tight, False
        yield self.own, False
        if len(self.letters) > 2 and not all(digits):
            yield tight, True
            yield set(range(1, len(self.letters))), True


def is_inner(unit: Unit) -> bool:
    return unit.kind == Kind.SYMBOL and unit.char in "it"


def readings(text: str) -> Iterator[tuple[list[tuple[Unit, int]], list[Letter], int | None]]:
    """The units, those of them that are letters, and the first symbol among these."""
    units = list(normalise(text))
    symbols = [at for at, (unit, _) in enumerate(units) if unit.kind == Kind.SYMBOL]
    for first in (None, *symbols):
        letters: list[Letter] = []
        for at, (unit, offset) in enumerate(units):
            follows = bool(letters) and letters[-1].at == at - 1
            taken = first is not None and at >= first and (follows or not is_inner(unit))
            if unit.kind < Kind.SYMBOL or (unit.kind == Kind.SYMBOL and taken):
                letters.append(Letter(unit, at, offset))
        yield units, letters, first


def counted_gaps(units: list[tuple[Unit, int]], letters: list[Letter]) -> set[int] | None:
    """Before which letters the text has separators that count. None if there are too many."""
    found: set[int] = set()
    for number in range(1, len(letters)):
        one, other = letters[number - 1], letters[number]
        between = [unit for unit, _ in units[one.at + 1 : other.at]]
        if len(between) > 3:
            return None
        stops = any(unit.kind == Kind.STOP or unit.plain in ("!", "|") for unit in between)
        if between and ((is_spaced(one) and is_spaced(other)) or stops):
            found.add(number)
    return found


def may_stand_for(wanted: str, letters: list[Letter]) -> bool:
    units = [letter.unit for letter in letters]
    other = [(want, unit) for want, unit in zip(wanted, units, strict=True) if want != unit.plain]
    if not other:
        return True
    if len(units) < 3 or any(want.isdigit() for want, _ in other):
        return False
    digits = [unit for _, unit in other if unit.plain.isdigit()]
    strange = [unit for want, unit in other if unit.kind == Kind.SYMBOL and want != unit.plain]
    numbers = [unit for unit in units if unit.plain.isdigit() and unit not in digits]
    symbols = [unit for unit in units if unit.kind == Kind.SYMBOL and unit not in strange]
    if len(units) - len(digits) - len(strange) - len(symbols) - len(numbers) < 1 or len(digits) * 3 >= len(units) * 2:
        return False
    if is_inner(units[-1]) and wanted[-1] != units[-1].plain:
        return False
    small = any(unit.plain.isalpha() and not unit.capital for unit in units)
    for want, unit in other:
        if unit.kind != Kind.SYMBOL and want in "il" and unit.plain in "il":
            taken = (
                unit.capital and small if want == "l" else not unit.capital and any(one.capital for one in units[1:])
            )
            if not taken:
                return False
    return True


def in_a_row(letters: list[Letter]) -> int:
    most = now = 0
    for letter in letters:
        now = now + 1 if letter.unit.kind == Kind.SYMBOL else 0
        most = max(most, now)
    return most


def matches(text: str, literals: list[Literal], *, merged: bool = False) -> set[Found]:
    """All matches in a whole text. `merged`: whatever stands for letters, as the stream sees it before an end."""
    found: set[Found] = set()
    for units, letters, first in readings(text):
        for pattern, wanted in enumerate(map(Wanted, literals)):
            size = len(wanted.letters)
            for start in range(len(letters) - size + 1):
                here = letters[start : start + size]
                if first is not None and first not in [letter.at for letter in here]:
                    continue
                if _fits(units, here, wanted, merged=merged):
                    found.add(Found(here[0].offset, here[-1].offset + 1, pattern))
    return found


def _fits(units: list[tuple[Unit, int]], here: list[Letter], wanted: Wanted, *, merged: bool) -> bool:
    if [one.unit.char for one in here] != [one.unit.char for one in wanted.letters]:
        return False
    if in_a_row(here) > 3 or is_inner(here[0].unit):
        return False
    if not merged and not may_stand_for("".join(one.unit.plain for one in wanted.letters), here):
        return False
    gaps = counted_gaps(units, here)
    before, behind = here[0].at - 1, here[-1].at + 1
    begins = not is_spaced(here[0]) or before < 0 or units[before][0].kind != Kind.SPACED
    ends = not is_spaced(here[-1]) or behind == len(units) or units[behind][0].kind != Kind.SPACED
    for spacing, spelled in wanted.spacings():
        if spacing == gaps and ((begins and ends) or not (wanted.literal.boundaries or spelled)):
            return True
    return False


def hold_from(text: str, literals: list[Literal], told: set[Found]) -> int:
    """Where the earliest match begins that some continuation of the text would complete."""
    starts = [one.start for one in matches(text + " ", literals) - told]
    for more in continuations(literals):
        starts += [one.start for one in matches(text + more + " ", literals, merged=True) if one.end > len(text)]
    return min((start for start in starts if start < len(text)), default=len(text))


def continuations(literals: list[Literal]) -> set[str]:
    """Every end of every literal in every spacing, behind nothing, a gap and a stop."""
    found: set[str] = set()
    for wanted in map(Wanted, literals):
        for spacing, _ in wanted.spacings():
            for start in range(1, len(wanted.letters)):
                rest = wanted.letters[start].unit.char
                for number in range(start + 1, len(wanted.letters)):
                    rest += ("," if number in spacing else "") + wanted.letters[number].unit.char
                found.update((rest, "." + rest, "," + rest))
    return found
