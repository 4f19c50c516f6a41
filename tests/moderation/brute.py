"""A matcher that looks at the whole text each time: slow, plain, and the measure of what is built on matchers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

from server.moderation.matches import Found


class BruteMatcher:
    """Of plain texts. A match is told once its last character has come."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = patterns

    def scan(self, text: str) -> list[Found]:
        found: list[Found] = []
        for index, pattern in enumerate(self.patterns):
            starts = [at for at in range(len(text)) if text.startswith(pattern, at)]
            found += [Found(at, at + len(pattern), index) for at in starts]
        return sorted(found)

    def stream(self) -> BruteStream:
        return BruteStream(self)

    def across(self, pieces: Sequence[str]) -> Iterator[list[Found]]:
        return repeat([], len(pieces))


class BruteStream:
    def __init__(self, matcher: BruteMatcher) -> None:
        self._matcher = matcher
        self._text = ""
        self._told: set[Found] = set()
        self.hold_from = 0

    def feed(self, text: str) -> list[Found]:
        self._text += text
        news = [one for one in self._matcher.scan(self._text) if one not in self._told]
        self._told.update(news)
        tails = [
            at for at in range(len(self._text)) if any(p.startswith(self._text[at:]) for p in self._matcher.patterns)
        ]
        whole = {one.start for one in self._told if one.end == len(self._text)}
        self.hold_from = min([at for at in tails if at not in whole or self._longer(at)], default=len(self._text))
        return news

    def _longer(self, at: int) -> bool:
        tail = self._text[at:]
        return any(one.startswith(tail) and len(one) > len(tail) for one in self._matcher.patterns)

    def finish(self) -> list[Found]:
        self.hold_from = len(self._text)
        return []
