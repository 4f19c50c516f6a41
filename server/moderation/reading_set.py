"""All readings of one text at once, and what they find."""

from __future__ import annotations

from server.moderation.matches import Found
from server.moderation.readings import (
    SEVERAL,
    SPACED_LETTER,
    STOP_SIGN,
    SYMBOL,
    Fork,
    Reading,
    Step,
    Table,
    fork,
    is_stop_step,
)


class ReadingSet:
    """`bases` take symbols for separators. Of a text that is not cut there is one; each symbol forks it."""

    def __init__(self, table: Table, *bases: Reading) -> None:
        self.table = table
        self.bases = list(bases)
        self.forks: list[Fork] = []
        self.pending: list[Found] = []  # matches, if a word ends behind the last letter

    def take(self, char: str, step: Step, offset: int, found: list[Found]) -> None:
        """Any character that is a unit or more."""
        kind = step[0]
        if kind == SEVERAL:
            for one in self.table.several[char]:
                self.take(char, one, offset, found)
            return
        if self.pending:
            if kind != SPACED_LETTER:
                found += self.pending
            self.pending.clear()
        if kind > SYMBOL:
            for one in self.bases:
                one.separator(stop=kind == STOP_SIGN)
            for one in self.forks:
                one.separator(stop=kind == STOP_SIGN)
        elif kind == SYMBOL:
            self._symbol(step, offset, found)
        else:
            for one in self.bases:
                one.letter(step, offset)
                self.note(one, offset, found)
            self._walk_forks(step, offset, found)

    def note(self, reading: Reading, offset: int, found: list[Found]) -> None:
        """The matches that end with the last letter."""
        if self.table.automaton.hits[reading.state]:
            for form, start in reading.matches():
                (self.pending if form.ends_word else found).append(Found(start, offset + 1, form.pattern))

    def hold_from(self, length: int) -> int:
        """The first character of what may go on as a match or be one; `length` if there is nothing of the kind."""
        readings: list[Reading] = [*self.bases, *self.forks]
        starts = [start for one in readings if (start := one.hold_from()) is not None]
        starts += [one.start for one in self.pending]
        return min(starts, default=length)

    def _symbol(self, step: Step, offset: int, found: list[Found]) -> None:
        self._walk_forks(step, offset, found)
        for base in self.bases:
            new = fork(base, step, offset)
            if new is not None:
                self.forks.append(new)
                self.note(new, offset, found)
            base.separator(stop=is_stop_step(step))

    def _walk_forks(self, step: Step, offset: int, found: list[Found]) -> None:
        if self.forks:
            for one in self.forks:
                (one.symbol if step[0] == SYMBOL else one.letter)(step, offset)
            self.forks = [one for one in self.forks if one.alive]
            for one in self.forks:
                if not one.gap:
                    self.note(one, offset, found)
