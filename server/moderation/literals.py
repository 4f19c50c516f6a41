"""Finds thousands of literals in a text, whole or in parts, however they are written: see `forms` for the rules.

On streams it holds exactly what could still become a match: from the first character of the longest end of the text
that is the beginning of a form of some literal and can go on as one, or of a match whose word is not known to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from server.moderation.automaton import ANY, FIRST, MARK, NOWHERE, UNSPACED, Automaton
from server.moderation.forms import MOST_SEPARATORS, STOP, Form, Literal, forms, spells
from server.moderation.matches import Found
from server.moderation.normalise import UNITS, Kind, Unit, is_stop

_BLOCK = 4096  # characters between two looks at what of the way can be forgotten
_SYMBOLS_IN_A_ROW = 3  # that are letters: `@$$hole`, and not a line of exclamation marks


class Literals:
    """A `Matcher`. Patterns are numbered as the literals came."""

    def __init__(self, literals: Iterable[Literal | str]) -> None:
        """Raises ValueError, with the literal's number, for one that has no letter and no digit."""
        named = [Literal(one) if isinstance(one, str) else one for one in literals]
        written = [form for pattern, literal in enumerate(named) for form in forms(pattern, literal)]
        self._table = _Table(Automaton(written))

    def scan(self, text: str) -> list[Found]:
        stream = self.stream()
        return sorted(stream.feed(text) + stream.finish())

    def stream(self) -> LiteralStream:
        return LiteralStream(self._table)


class _Step(NamedTuple):
    """A `Unit` as an automaton knows it."""

    kind: Kind
    code: int  # of `Unit.char`
    first: int  # of `Unit.first`
    unit: Unit


class _Table(dict[str, tuple[_Step, ...]]):
    """The steps of every character met so far: bounded as `UNITS` is."""

    def __init__(self, automaton: Automaton) -> None:
        super().__init__()
        self.automaton = automaton
        self.stop = automaton.symbols.get(STOP, NOWHERE)

    def __missing__(self, char: str) -> tuple[_Step, ...]:
        code = self.automaton.symbols.get
        units = UNITS[char]
        steps = tuple(_Step(unit.kind, code(unit.char, NOWHERE), code(unit.first, NOWHERE), unit) for unit in units)
        if char in UNITS:
            self[char] = steps
        return steps


class _Reading:
    """One way of reading a text: a walk through the automaton, and what stands behind its last letter."""

    __slots__ = ("gap", "path", "spaced", "state", "stop", "table")

    def __init__(self, table: _Table) -> None:
        self.table = table
        self.state = 0
        self.path: list[tuple[int, Unit | None]] = []  # offset and unit of the latest symbols, `state`'s depth at least
        self.gap = 0  # separators since the last letter
        self.stop = False  # one of them is a stop
        self.spaced = False  # the last letter is of a script with spaces

    def letter(self, step: _Step, offset: int) -> None:
        table = self.table
        spaced = step.kind != Kind.UNSPACED
        if self.stop and not (spaced and self.spaced) and self.state:
            self.state = table.automaton.along(self.state, table.stop)
            self.path.append((offset, None))
        code = step.code if spaced and self.spaced and not self.gap else step.first
        self.state = table.automaton.along(self.state, code)
        if self.state:
            self.path.append((offset, step.unit))
        else:
            self.path.clear()
        self.gap, self.stop, self.spaced = 0, False, spaced

    def separator(self, *, stop: bool) -> None:
        self.gap += 1
        self.stop = self.stop or stop
        if self.gap > MOST_SEPARATORS:
            self.state, self.stop, self.spaced = 0, False, False
            self.path.clear()

    def hold_from(self) -> int | None:
        """The offset of the first character of what may go on as a form."""
        ways = ANY
        if self.gap:
            ways = MARK if self.stop else FIRST | UNSPACED | (MARK if self.gap < MOST_SEPARATORS else 0)
            ways |= FIRST if self.spaced else 0
        depth = self.table.automaton.depth_of(self.state, ways)
        return self.path[-depth][0] if depth else None

    def begins(self) -> int:
        """The offset of the first character of the walk, which has begun."""
        return self.path[-self.table.automaton.depth[self.state]][0]

    def forget(self) -> None:
        depth = self.table.automaton.depth[self.state]
        del self.path[: len(self.path) - depth]

    def matches(self) -> list[tuple[Form, int]]:
        """The forms that end with the last letter, and where they begin."""
        automaton, found = self.table.automaton, list[tuple[Form, int]]()
        state = automaton.hits[self.state]
        while state:
            way = self.path[-automaton.depth[state] :]
            units = [unit for _, unit in way if unit is not None]
            found += [(form, way[0][0]) for form in automaton.ends[state] if spells(form.plain, units)]
            state = automaton.hits[automaton.fall[state]]
        return found


class _Fork(_Reading):
    """From the symbol at `at` on it takes symbols for letters. Of use as long as what it walks holds that symbol."""

    __slots__ = ("at", "in_a_row")

    def __init__(self, base: _Reading, at: int) -> None:
        super().__init__(base.table)
        self.state, self.path = base.state, base.path[-base.table.automaton.depth[base.state] :]
        self.gap, self.stop, self.spaced = base.gap, base.stop, base.spaced
        self.at = at
        self.in_a_row = 0

    def letter(self, step: _Step, offset: int) -> None:
        super().letter(step, offset)
        self.in_a_row = self.in_a_row + 1 if step.kind == Kind.SYMBOL else 0

    @property
    def alive(self) -> bool:
        return self.state > 0 and self.in_a_row <= _SYMBOLS_IN_A_ROW and self.begins() <= self.at


class LiteralStream:
    """A `Stream`."""

    def __init__(self, table: _Table) -> None:
        self._table = table
        self._base = _Reading(table)  # takes symbols for separators
        self._forks: list[_Fork] = []
        self._pending: list[Found] = []  # matches, if a word ends behind the last letter
        self._length = 0
        self.hold_from = 0

    def feed(self, text: str) -> list[Found]:
        found: list[Found] = []
        for start in range(0, len(text), _BLOCK):
            self._feed(text[start : start + _BLOCK], found)
        self.hold_from = self._hold()
        return sorted(set(found)) if found else found

    def finish(self) -> list[Found]:
        found, self._pending = sorted(set(self._pending)), []
        self.hold_from = self._length
        return found

    def _feed(self, text: str, found: list[Found]) -> None:
        base, pending, hits = self._base, self._pending, self._table.automaton.hits
        for offset, char in enumerate(text, self._length):
            for step in self._table[char]:
                kind = step.kind
                if pending:
                    if kind != Kind.SPACED:
                        found += pending
                    pending.clear()
                if kind == Kind.SYMBOL:
                    self._symbol(step, offset, found)
                elif kind > Kind.SYMBOL:
                    base.separator(stop=kind == Kind.STOP)
                    for fork in self._forks:
                        fork.separator(stop=kind == Kind.STOP)
                else:
                    base.letter(step, offset)
                    if hits[base.state]:
                        self._note(base.matches(), offset, found)
                    if self._forks:
                        self._walk_forks(step, offset, found)
        self._length += len(text)
        base.forget()

    def _symbol(self, step: _Step, offset: int, found: list[Found]) -> None:
        self._forks.append(_Fork(self._base, offset))
        self._walk_forks(step, offset, found)
        self._base.separator(stop=is_stop(step.unit.plain))

    def _walk_forks(self, step: _Step, offset: int, found: list[Found]) -> None:
        for fork in self._forks:
            fork.letter(step, offset)
        self._forks = [fork for fork in self._forks if fork.alive]
        for fork in self._forks:
            self._note([match for match in fork.matches() if match[1] <= fork.at], offset, found)

    def _note(self, matches: Sequence[tuple[Form, int]], offset: int, found: list[Found]) -> None:
        for form, start in matches:
            (self._pending if form.ends_word else found).append(Found(start, offset + 1, form.pattern))

    def _hold(self) -> int:
        starts = [one.start for one in self._pending]
        base = self._base.hold_from()
        if base is not None:
            starts.append(base)
        for fork in self._forks:
            start = fork.hold_from()
            if start is not None and start <= fork.at:
                starts.append(start)
        return min(starts, default=self._length)
