"""Several matchers as one, whose matches say which rule of the policy they are of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.moderation.matches import Found, Matcher, Stream

Part = tuple[Matcher, Sequence[int]]
"""A matcher, and the rule (an index into the policy's rules) of each of its patterns."""


class Screen:
    """A `Matcher` whose `Found.pattern` is the index of a rule."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = tuple(parts)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def scan(self, text: str) -> list[Found]:
        return _told((matcher.scan(text), rules) for matcher, rules in self._parts)

    def stream(self) -> Stream:
        return ScreenStream(self._parts)


class ScreenStream:
    """A `Stream` over those of all parts."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._streams = [(matcher.stream(), rules) for matcher, rules in parts]

    @property
    def hold_from(self) -> int:
        return min([stream.hold_from for stream, _ in self._streams])

    def feed(self, text: str) -> list[Found]:
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
