"""A matcher over many expressions, for whole texts and for streams.

Per pattern: the longest match at the first place where there is one, then the first after its end, and so on; no
pattern hides another. With a validator the candidates from one place are tried from the longest to the shortest, and
the first that it accepts is the match; if it accepts none, the search goes on one character later.

In a stream, a start is alive while what has come from there on could still become a match, or a longer one. The first
start that is alive is found by one search, backwards from the end and no further than anything is alive. All starts
before it are dead, whatever follows: their matches are final, and are told. The text before it is not looked at again,
but for one byte, because what stands before a place decides for `\\b`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from server.moderation.expressions import Expression, utf8
from server.moderation.gates import PLAIN, folded, gate, needles, weight
from server.moderation.matches import Found
from server.moderation.regex import Regex

SHORT = 64  # bytes: on more, RE2 is faster than a look at each
Span = tuple[int, int, int]  # start and end in bytes, and the pattern
SHARED = 64 << 20  # bytes, at most, for an expression that is made of many
MOST_ALIVE = 30_000  # characters, repetitions written out, of expressions that are looked for together: backwards,
MOST_SHAPED = 3_000  # and forwards, where an automaton has to remember more


@dataclass(frozen=True, slots=True)
class Pattern:
    regex: Regex
    validator: Callable[[str], bool] | None = None
    """Whether a candidate is a match. Called with its text, often; it must be pure."""


class PatternMatcher:
    """Matches of many patterns; `Found.pattern` is the index into the list given here."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        """Raise ValueError if RE2 refuses one of them, or would need too much memory."""
        searches = [_Search(index, pattern) for index, pattern in enumerate(patterns)]
        self._blocks = [*_blocks([one for one in searches if weight(one.gate) <= PLAIN])]
        self._blocks += _blocks([one for one in searches if weight(one.gate) > PLAIN])
        self._width = max((one.regex.width for one in searches), default=0)
        self._alive = [
            Expression(f"(?:{'|'.join(one.regex.unfinished for one in part)})\\z", memory=SHARED)
            for part in _by_size(searches, MOST_ALIVE)
        ]

    def scan(self, text: str) -> list[Found]:
        data = utf8(text)
        spans = [span for block in self._blocks for span in block.spans(data, 0, len(data), {})]
        return _found(data, 0, 0, spans) if spans else []

    def across(self, pieces: Sequence[str]) -> Iterator[list[Found]]:
        """Nothing: ways of expressions do not meet. `seams` has the readings in which they are looked for."""
        return repeat([], len(pieces))

    def stream(self) -> PatternStream:
        return PatternStream(self._blocks, self._alive, self._width)


class PatternStream:
    """Keeps what is alive, and one byte before it."""

    def __init__(self, blocks: Sequence[_Block], alive: Sequence[Expression], width: int) -> None:
        self.hold_from = 0
        self._width = width
        self._blocks = blocks
        self._alive = alive
        self._tail = b""
        self._first = 0  # in the tail: the first start that is alive
        self._cut = 0  # bytes of the whole text before the tail
        self._told: dict[int, int] = {}  # by pattern, the end of its last match, in bytes of the whole text

    def feed(self, text: str) -> list[Found]:
        data = self._tail + utf8(text)
        alive = len(data)
        for expression in self._alive:
            found = expression.search(data, self._first)
            alive = alive if found is None else min(alive, found[0])
        if len(data) - alive > self._width:  # nothing lives longer than the longest match
            alive = len(data) - len(data[alive:].decode()[-self._width :].encode())
        if alive == self._first:
            self._tail = data
            return []
        return self._settle(data, alive)

    def finish(self) -> list[Found]:
        return self._settle(self._tail, len(self._tail))

    def _settle(self, data: bytes, alive: int) -> list[Found]:
        """Tell all matches that start before `alive`, and keep the rest."""
        first, told = self._first, self._told
        known = {pattern: end - self._cut for pattern, end in told.items()} if told else {}
        spans = [span for block in self._blocks for span in block.spans(data, first, alive, known)]
        found = _found(data, first, self.hold_from, spans) if spans else []
        for _, end, pattern in spans:  # of one pattern they come in order: the last one stays
            told[pattern] = self._cut + end
        self.hold_from += len(data[first:alive].decode())
        cut = max(alive - 1, 0)
        self._tail, self._first, self._cut = data[cut:], alive - cut, self._cut + cut
        if told:
            self._told = {pattern: end for pattern, end in told.items() if end > self._cut + self._first}
        return found


class _Search:
    """Finds the matches of one pattern."""

    def __init__(self, index: int, pattern: Pattern) -> None:
        self.index = index
        self.regex = pattern.regex
        self.gate = gate(pattern.regex.tree)
        self.needles = needles(pattern.regex.tree)
        self._validator = pattern.validator
        self._expression = Expression(pattern.regex.source)

    def spans(self, data: bytes, start: int, alive: int) -> Iterator[Span]:
        """The matches that begin from `start` on and before `alive`."""
        search, validator = self._expression.search, self._validator
        while start < alive and (found := search(data, start)) is not None and found[0] < alive:
            begin, end = found
            if validator is not None:
                end = self._accepted(data, begin, end, validator)
            if end > begin:
                yield begin, end, self.index
                start = end
            else:
                start = begin + _character(data[begin])

    def _accepted(self, data: bytes, start: int, end: int, validator: Callable[[str], bool]) -> int:
        """The end of the longest candidate from `start` that is accepted, or `start`."""
        least = start + self.regex.least
        while not validator(data[start:end].decode()):
            shorter = self._expression.match(data, start, end - 1) if end > least else None
            if shorter is None:
                return start
            end = shorter
        return end


class _Block(ABC):
    """Patterns that are searched for together: on most text none of them matches, and one search says so."""

    def __init__(self, searches: Sequence[_Search]) -> None:
        self._searches = searches
        self._gate = frozenset[int]().union(*(one.gate for one in searches))
        self._ask = weight(self._gate) <= PLAIN

    def spans(self, data: bytes, start: int, alive: int, told: Mapping[int, int]) -> Iterator[Span]:
        """The matches that begin from `start`, or from where a pattern was told to, on and before `alive`."""
        if not self._ask or len(data) > SHORT or not self._gate.isdisjoint(data):
            for one in self._possible(data, start, alive):
                yield from one.spans(data, max(start, told.get(one.index, 0)), alive)

    @abstractmethod
    def _possible(self, data: bytes, start: int, alive: int) -> list[_Search]:
        """Those that may have a match that begins from `start` on and before `alive`."""


class _Named(_Block):
    """Patterns with needles, for which one search suffices however many they are."""

    def __init__(self, searches: Sequence[_Search]) -> None:
        super().__init__(searches)
        self._needles = [(needle, place) for place, one in enumerate(searches) for needle in one.needles]
        quoted = sorted({_quoted(needle) for needle, _ in self._needles})
        self._any = Expression("|".join(quoted), longest=False, memory=SHARED)

    def _possible(self, data: bytes, start: int, alive: int) -> list[_Search]:
        lowered = folded(data)
        if self._any.search(lowered) is None:
            return []
        return [self._searches[one] for one in sorted({one for needle, one in self._needles if needle in lowered})]


class _Shaped(_Block):
    """Patterns without needles: shapes of digits and letters. RE2 looks for any of them."""

    def __init__(self, searches: Sequence[_Search]) -> None:
        super().__init__(searches)
        self._any = Expression("|".join(one.regex.source for one in searches), longest=False, memory=SHARED)

    def _possible(self, data: bytes, start: int, alive: int) -> list[_Search]:
        found = self._any.search(data, start)
        if found is None or found[0] >= alive:
            return []
        present = frozenset(data)
        return [one for one in self._searches if not one.gate.isdisjoint(present)]


def _blocks(searches: Sequence[_Search]) -> Iterator[_Block]:
    named = [one for one in searches if one.needles]
    if named:
        yield _Named(named)
    yield from map(_Shaped, _by_size([one for one in searches if not one.needles], MOST_SHAPED))


def _by_size(searches: Sequence[_Search], most: int) -> Iterator[list[_Search]]:
    block: list[_Search] = []
    size = 0
    for one in searches:
        if block and size + one.regex.size > most:
            yield block
            block, size = [], 0
        block.append(one)
        size += one.regex.size
    if block:
        yield block


def _quoted(needle: bytes) -> str:
    return "".join(f"\\x{{{ord(char):x}}}" for char in needle.decode("utf-8", "surrogatepass"))


def _character(first: int) -> int:
    """How many bytes the character has that begins with this one."""
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def _found(data: bytes, start: int, offset: int, spans: Sequence[Span]) -> list[Found]:
    """The spans in order and in code points; `start` in the data is `offset` in the text."""
    found: list[Found] = []
    for begin, end, pattern in sorted(spans):
        offset += len(data[start:begin].decode())
        start = begin
        found.append(Found(offset, offset + len(data[begin:end].decode()), pattern))
    return found
