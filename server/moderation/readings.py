"""Walks of one text through the automaton: one for each way of reading it."""

from __future__ import annotations

from copy import copy
from typing import Self

from server.moderation.automaton import ANY, FIRST, MARK, NOWHERE, UNSPACED, Automaton
from server.moderation.forms import MOST_SEPARATORS, STOP, SYMBOLS_IN_A_ROW, Form, is_inner, spells
from server.moderation.normalise import UNITS, Kind, Unit, is_stop

# `Kind` as plain numbers: this is asked for each character, and enums are slow.
SPACED_LETTER, UNSPACED_LETTER, SYMBOL, GAP, STOP_SIGN = map(int, Kind)
SEVERAL, NOTHING = STOP_SIGN + 1, STOP_SIGN + 2  # what a character is of which there is not one unit

Step = tuple[int, int, int, Unit | None]
"""A `Unit` as an automaton knows it: its kind, the numbers of its `char` and of its `first`, itself."""


class Table:
    """The steps of every character met so far: bounded as `UNITS` is."""

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        self.stop = automaton.symbols.get(STOP, NOWHERE)
        self.steps: dict[str, Step] = {}
        self.several: dict[str, list[Step]] = {}  # of characters that are several units

    def learn(self, char: str) -> Step:
        """Of a character that is not among `steps`."""
        code = self.automaton.symbols.get
        steps: list[Step] = [
            (int(unit.kind), code(unit.char, NOWHERE), code(unit.first, NOWHERE), unit) for unit in UNITS[char]
        ]
        step = steps[0] if len(steps) == 1 else (SEVERAL if steps else NOTHING, NOWHERE, NOWHERE, None)
        if char in UNITS:
            self.steps[char] = step
            if len(steps) > 1:
                self.several[char] = steps
        return step


def is_inner_step(step: Step) -> bool:
    return step[3] is not None and is_inner(step[3])


def is_stop_step(step: Step) -> bool:
    """For a symbol, as a separator."""
    return step[3] is not None and is_stop(step[3].plain)


class Reading:
    """One way of reading a text, and what stands behind its last letter."""

    __slots__ = ("gap", "path", "spaced", "state", "stop", "table")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.state = 0
        self.path: list[tuple[int, Unit | None]] = []  # offset and unit of the latest symbols, `state`'s depth at least
        self.gap = 0  # separators since the last letter
        self.stop = False  # one of them is a stop
        self.spaced = False  # the last letter is of a script with spaces

    def next_states(self, step: Step) -> tuple[int, int]:
        """Where a letter leads. Before it, where the separators do, if they are a symbol of their own; else 0."""
        automaton, spaced = self.table.automaton, step[0] != UNSPACED_LETTER
        marked, state = 0, self.state
        if self.stop and not (spaced and self.spaced):
            marked = state = automaton.along(state, self.table.stop)
        within = spaced and self.spaced and not self.gap
        return marked, automaton.along(state, step[1] if within else step[2])

    def letter(self, step: Step, offset: int) -> None:
        self.walk(step, offset, *self.next_states(step))

    def walk(self, step: Step, offset: int, marked: int, state: int) -> None:
        """Where `next_states` told."""
        if not state:
            self.path.clear()
        else:
            if marked:
                self.path.append((offset, None))
            self.path.append((offset, step[3]))
        self.state = state
        self.gap, self.stop, self.spaced = 0, False, step[0] != UNSPACED_LETTER

    def separator(self, *, stop: bool) -> None:
        self.gap += 1
        self.stop = self.stop or stop
        if self.gap > MOST_SEPARATORS:
            self.end()

    def end(self) -> None:
        """Nothing goes on behind so many separators."""
        self.state, self.stop, self.spaced = 0, False, False
        self.path.clear()

    def hold_from(self) -> int | None:
        """The offset of the first character of what may go on as a form."""
        if not self.state:
            return None
        ways = ANY
        if self.gap:
            ways = MARK if self.stop else FIRST | UNSPACED | (MARK if self.gap < MOST_SEPARATORS else 0)
            ways |= FIRST if self.spaced else 0
        depth = self.table.automaton.depth_of(self.state, ways)
        return self.path[-depth][0] if depth else None

    def copy(self) -> Self:
        other = copy(self)
        other.path = self.path.copy()
        return other

    def place(self) -> tuple[int, ...]:
        """What decides how it goes on. Of one text the state tells the path."""
        return self.state, self.gap, self.stop, self.spaced

    def forget(self) -> None:
        """Of the path, all but what the state has walked."""
        del self.path[: len(self.path) - self.table.automaton.depth[self.state]]

    def matches(self) -> list[tuple[Form, int]]:
        """The forms that end with the last letter, and where they begin."""
        automaton = self.table.automaton
        found: list[tuple[Form, int]] = []
        state = automaton.hits[self.state]
        while state:
            way = self.path[-automaton.depth[state] :]
            units = [unit for _, unit in way if unit is not None]
            found += [(form, way[0][0]) for form in automaton.ends[state] if spells(form.plain, units)]
            state = automaton.hits[automaton.fall[state]]
        return found


class Fork(Reading):
    """From one symbol on it takes symbols for letters. Of use while what it walks begins with that symbol or before."""

    __slots__ = ("_in_a_row", "_latest")

    def __init__(self, base: Reading, latest: int) -> None:
        """`latest` is the offset at which its matches begin, or earlier."""
        self.table = base.table
        depth = base.table.automaton.depth[base.state]
        self.state, self.path = base.state, base.path[-depth:] if depth else []
        self.gap, self.stop, self.spaced = base.gap, base.stop, base.spaced
        self._latest = latest
        self._in_a_row = 0

    def walk(self, step: Step, offset: int, marked: int, state: int) -> None:
        super().walk(step, offset, marked, state)
        self._in_a_row = self._in_a_row + 1 if step[0] == SYMBOL else 0

    def symbol(self, step: Step, offset: int) -> None:
        """A letter, or a separator where it can be none."""
        if self.gap and is_inner_step(step):
            self.separator(stop=is_stop_step(step))
        else:
            self.letter(step, offset)

    def place(self) -> tuple[int, ...]:
        return *super().place(), self._latest, self._in_a_row

    @property
    def alive(self) -> bool:
        if not self.state or self._in_a_row > SYMBOLS_IN_A_ROW:
            return False
        return self.path[-self.table.automaton.depth[self.state]][0] <= self._latest

    def hold_from(self) -> int | None:
        start = super().hold_from()
        return start if start is not None and start <= self._latest else None

    def matches(self) -> list[tuple[Form, int]]:
        return [match for match in super().matches() if match[1] <= self._latest]


def fork(base: Reading, step: Step, offset: int) -> Fork | None:
    """The reading that takes a symbol for a letter and so begins there, if it leads anywhere."""
    marked, state = base.next_states(step)
    inner = is_inner_step(step)
    if not state or (inner and (base.gap or base.table.automaton.depth[state] == 1)):
        return None
    new = Fork(base, offset - inner)
    new.walk(step, offset, marked, state)
    return new
