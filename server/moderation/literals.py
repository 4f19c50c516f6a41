"""Finds thousands of literals in a text, whole or in parts, however they are written: see `forms` for the rules.

On streams it holds exactly what could still become a match: from the first character of the longest end of the text
that is the beginning of a form of some literal and can go on as one, or of a match whose word is not known to end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from server.moderation.automaton import SHIFT, Automaton
from server.moderation.forms import MOST_SEPARATORS, Literal, forms
from server.moderation.matches import Found
from server.moderation.normalise import UNITS
from server.moderation.readings import (
    NOTHING,
    SEVERAL,
    SPACED_LETTER,
    STOP_SIGN,
    SYMBOL,
    UNSPACED_LETTER,
    Fork,
    Reading,
    Step,
    Table,
    fork,
    is_stop_step,
)
from server.moderation.sieve import Sieve

_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")  # they vanish
_BLOCK = 4096  # characters between two looks at what of a walk can be forgotten


class Literals:
    """A `Matcher`. Patterns are numbered as the literals came."""

    def __init__(self, literals: Iterable[Literal | str], *, window: int = 1024) -> None:
        """`window`: so many characters of a whole text are looked at closely, or are not, at a time.

        Raises ValueError, with the literal's number, for one that has no letter and no digit.
        """
        named = [Literal(one) if isinstance(one, str) else one for one in literals]
        written = [form for pattern, literal in enumerate(named) for form in forms(pattern, literal)]
        self._table = Table(Automaton(written))
        self._sieve = Sieve(written)
        self._window = window
        self._reach = (MOST_SEPARATORS + 1) * max((len(form.symbols) for form in written), default=0)

    def scan(self, text: str) -> list[Found]:
        found: list[Found] = []
        for start, end, rest in self._windows(text):
            window = text[start:rest]
            if self._sieve.may_match(window):
                stream = self.stream()
                here = stream.feed(window) + stream.finish()
                found += [Found(start + a, start + b, pattern) for a, b, pattern in here if start + a < end]
        return sorted(found)

    def _windows(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Where to look for matches: their first characters are from `start` to before `end`, their last before `rest`.

        A long text is cut between words, so that one suspicious word does not make all of it be looked at closely.
        """
        start, size = 0, max(self._window, 2 * self._reach)
        while len(text) - start > 2 * size:
            end = text.rfind(" ", start, start + size) + 1
            rest = self._rest(text, end) if end else None
            if rest is None:
                break
            yield start, end, rest
            start = end
        yield start, len(text), len(text)

    def _rest(self, text: str, end: int) -> int | None:
        """By where every match that began before `end` is over. None: there is too much that vanishes."""
        rest = end + self._reach
        if text[end:rest].isascii() and not _CONTROLS.search(text, end, rest):
            return rest
        visible = (at for at, char in enumerate(text[end : end + 4 * self._reach], end + 1) if UNITS[char])
        return next(islice(visible, self._reach - 1, None), None)

    def stream(self) -> LiteralStream:
        return LiteralStream(self._table)


class LiteralStream:
    """A `Stream`."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._base = Reading(table)  # takes symbols for separators
        self._forks: list[Fork] = []
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
        """Words of scripts with spaces are walked here, the rest where it is called: nearly all of a text is that."""
        base, steps, pending, path = self._base, self._table.steps, self._pending, self._base.path
        automaton = self._table.automaton
        goto, fall, hits = automaton.goto, automaton.fall, automaton.hits
        state = base.state
        within = False  # the last letter is of a script with spaces, nothing is behind it and nothing else going on
        for offset, char in enumerate(text, self._length):
            kind, code, first, unit = step = steps.get(char) or self._table.learn(char)
            if kind == NOTHING:
                continue
            if kind or not within:
                if kind > UNSPACED_LETTER or base.stop or self._forks:
                    base.state = state
                    self._any(char, step, offset, found)
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
                    self._note_all(base, offset, found)
            elif path:
                path.clear()
        base.state = state
        self._length += len(text)
        base.forget()

    def _any(self, char: str, step: Step, offset: int, found: list[Found]) -> None:
        """Any character that is a unit or more."""
        kind = step[0]
        if kind == SEVERAL:
            for one in self._table.several[char]:
                self._any(char, one, offset, found)
            return
        if self._pending:
            if kind != SPACED_LETTER:
                found += self._pending
            self._pending.clear()
        if kind > SYMBOL:
            self._base.separator(stop=kind == STOP_SIGN)
            for one in self._forks:
                one.separator(stop=kind == STOP_SIGN)
        elif kind == SYMBOL:
            self._symbol(step, offset, found)
        else:
            self._base.letter(step, offset)
            self._note_all(self._base, offset, found)
            self._walk_forks(step, offset, found)

    def _symbol(self, step: Step, offset: int, found: list[Found]) -> None:
        self._walk_forks(step, offset, found)
        new = fork(self._base, step, offset)
        if new is not None:
            self._forks.append(new)
            self._note_all(new, offset, found)
        self._base.separator(stop=is_stop_step(step))

    def _walk_forks(self, step: Step, offset: int, found: list[Found]) -> None:
        if self._forks:
            for one in self._forks:
                (one.symbol if step[0] == SYMBOL else one.letter)(step, offset)
            self._forks = [one for one in self._forks if one.alive]
            for one in self._forks:
                if not one.gap:
                    self._note_all(one, offset, found)

    def _note_all(self, reading: Reading, offset: int, found: list[Found]) -> None:
        """The matches that end with the last letter."""
        if self._table.automaton.hits[reading.state]:
            for form, start in reading.matches():
                (self._pending if form.ends_word else found).append(Found(start, offset + 1, form.pattern))

    def _hold(self) -> int:
        readings: list[Reading] = [self._base, *self._forks]
        starts = [start for one in readings if (start := one.hold_from()) is not None]
        starts += [one.start for one in self._pending]
        return min(starts, default=self._length)
