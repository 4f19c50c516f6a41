"""Several matchers as one, whose matches say which rule of the policy they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from server.moderation.matches import Found, Matcher, Stream


class Part(NamedTuple):
    """A matcher, and the rule (an index into the policy's rules) of each of its patterns."""

    matcher: Matcher
    rules: Sequence[int]
    holds: bool = True
    """Whether text is held back that could become a match: not where the rules only watch."""


class Screen:
    """A `Matcher` whose `Found.pattern` is the index of a rule."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = tuple(parts)

    def holding(self, cuts: Callable[[int], bool]) -> Screen:
        """The same for rules with other actions: `cuts` says of each whether it changes or ends a text."""
        return Screen(part._replace(holds=any(map(cuts, part.rules))) for part in self._parts)

    def scan(self, text: str) -> list[Found]:
        return _told((part.matcher.scan(text), part.rules) for part in self._parts)

    def stream(self) -> Stream:
        return ScreenStream(self._parts)

    def across(self, pieces: Sequence[str]) -> Iterator[list[Found]]:
        for told in zip(*(part.matcher.across(pieces) for part in self._parts), strict=True):
            yield _told((found, part.rules) for found, part in zip(told, self._parts, strict=True))


class ScreenStream:
    """A `Stream` over those of all parts. Of parts that do not hold, a match may have left when it is told."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._streams = [(part.matcher.stream(), part.rules) for part in parts]
        self._holding = [stream for (stream, _), part in zip(self._streams, parts, strict=True) if part.holds]
        self._end = 0

    @property
    def hold_from(self) -> int:
        return min([stream.hold_from for stream in self._holding], default=self._end)

    def feed(self, text: str) -> list[Found]:
        self._end += len(text)
        return _told((stream.feed(text), rules) for stream, rules in self._streams)

    def finish(self) -> list[Found]:
        return _told((stream.finish(), rules) for stream, rules in self._streams)


def _told(parts: Iterable[tuple[list[Found], Sequence[int]]]) -> list[Found]:
    """One match per rule and span: two of its patterns may agree."""
    found: set[Found] = set()
    for matches, rules in parts:
        for start, end, pattern in matches:
            found.add(Found(start, end, rules[pattern]))
    return sorted(found) if found else []
