"""Literals in a text that comes in parts.

It holds exactly what could still become a match: from the first character of the longest end of the text that is the
beginning of a form of some literal and can go on as one, or of a match whose word is not known to end.
"""

from __future__ import annotations

from server.moderation.automaton import SHIFT
from server.moderation.matches import Found
from server.moderation.reading_set import ReadingSet
from server.moderation.readings import NOTHING, STOP_SIGN, SYMBOL, UNSPACED_LETTER, Reading, Step, Table

_BLOCK = 4096  # characters between two looks at what of a walk can be forgotten


class LiteralStream:
    """A `Stream`."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._base = Reading(table)
        self._all = ReadingSet(table, self._base)
        self._length = 0
        self.hold_from = 0

    def feed(self, text: str) -> list[Found]:
        found: list[Found] = []
        for start in range(0, len(text), _BLOCK):
            self._feed(text[start : start + _BLOCK], found)
        self.hold_from = self._all.hold_from(self._length)
        return sorted(set(found)) if found else found

    def finish(self) -> list[Found]:
        found, self._all.pending = sorted(set(self._all.pending)), []
        self.hold_from = self._length
        return found

    def _feed(self, text: str, found: list[Found]) -> None:
        """Words of scripts with spaces are walked here, the rest by `ReadingSet`: nearly all of a text is that."""
        base, readings, steps, path = self._base, self._all, self._table.steps, self._base.path
        automaton, pending = self._table.automaton, readings.pending
        goto, fall, hits = automaton.goto, automaton.fall, automaton.hits
        state = base.state
        within = False  # the last letter is of a script with spaces, nothing is behind it and nothing else going on
        for offset, char in enumerate(text, self._length):
            kind, code, first, unit = step = steps.get(char) or self._table.learn(char)
            if kind == NOTHING:
                continue
            if kind or not within:
                if kind > UNSPACED_LETTER or base.stop or readings.forks:
                    base.state = state
                    alone = SYMBOL < kind <= STOP_SIGN and not readings.forks
                    (self._separator if alone else readings.take)(char, step, offset, found)
                    state = base.state
                    within = False
                    continue
                within = not kind
                if base.gap or not (within and base.spaced):
                    code = first
                base.gap, base.spaced = 0, within
            if pending:
                found += pending if kind else ()
                pending.clear()
            following = goto.get(state << SHIFT | code)
            while following is None and state:
                state = fall[state]
                following = goto.get(state << SHIFT | code)
            if following:
                state = following
                path.append((offset, unit))
                if hits[state]:
                    base.state = state
                    readings.note(base, offset, found)
            elif path:
                path.clear()
        base.state = state
        self._length += len(text)
        base.forget()

    def _separator(self, char: str, step: Step, offset: int, found: list[Found]) -> None:
        """As `ReadingSet.take`, where there is one reading: between any two words."""
        pending = self._all.pending
        if pending:
            found += pending
            pending.clear()
        self._base.separator(stop=step[0] == STOP_SIGN)
