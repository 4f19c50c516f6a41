"""Finds thousands of literals in a text, whole or in parts, however they are written: see `forms` for the rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from server.moderation.automaton import Automaton
from server.moderation.crossing import across
from server.moderation.forms import MOST_SEPARATORS, Literal, forms
from server.moderation.literal_stream import LiteralStream
from server.moderation.matches import Found
from server.moderation.normalise import UNITS
from server.moderation.readings import Table
from server.moderation.sieve import Sieve

_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")  # they vanish
LONGEST_INNER = 4096  # characters of a text that may lie within a match: few of more can be seen


class Literals:
    """A `Matcher`. Patterns are numbered as the literals came."""

    def __init__(self, literals: Iterable[Literal | str], *, window: int = 1024) -> None:
        """`window`: so many characters of a whole text are looked at closely, or are not, at a time.

        Raises ValueError, with the literal's number, for one that has no letter and no digit.
        """
        named = [Literal(one) if isinstance(one, str) else one for one in literals]
        written = [form for pattern, literal in enumerate(named) for form in forms(pattern, literal)]
        self.table = Table(Automaton(written))
        self._sieve = Sieve(written)
        self._window = window
        self.reach = (MOST_SEPARATORS + 1) * max((len(form.symbols) for form in written), default=0)
        """No match has more visible characters."""

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
        start, size = 0, max(self._window, 2 * self.reach)
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
        rest = end + self.reach
        if text[end:rest].isascii() and not _CONTROLS.search(text, end, rest):
            return rest
        visible = (at for at, char in enumerate(text[end : end + 4 * self.reach], end + 1) if UNITS[char])
        return next(islice(visible, self.reach - 1, None), None)

    def stream(self) -> LiteralStream:
        return LiteralStream(self.table)

    def across(self, pieces: Sequence[str]) -> Iterator[list[Found]]:
        return across(pieces, self)

    def inner(self, text: str) -> bool:
        """Whether a text may lie within a match as a whole. Seldom true of one that does not."""
        return len(text) <= LONGEST_INNER and self._sieve.may_be_within(text)
