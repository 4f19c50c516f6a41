"""What a policy's rules find in the texts of a request. Pure; long texts in steps, so that others get their turn.

Each text is looked at on its own, and then what is found across the seams between them (`seams.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from server.moderation.decoders import decoded
from server.moderation.edits import Edit, applied, extended, merged
from server.moderation.matches import Found, Matcher, Stream
from server.moderation.policy import Channel, Decoding, Rule
from server.moderation.seams import Walk, crossings, walks
from server.moderation.segments import Segment
from server.moderation.unescape import UnescapedStream

STEP = 4096  # characters, a millisecond or two
NO_DECODING = Decoding()
ACROSS: tuple[Channel, ...] = ("content", "reasoning")  # arguments of calls are JSON texts of their own


class Hit(NamedTuple):
    """`rule` matched `segment.text[start:end]`; one across a seam is a hit in each of its segments."""

    rule: int  # index into the policy's rules
    segment: int  # index into the segments
    start: int
    end: int


class Inspection:
    """`steps` to the end, then look at `hits`, which are in the order of the segments."""

    def __init__(
        self,
        segments: Sequence[Segment],
        screens: Mapping[Channel, Matcher],
        rules: Sequence[Rule],
        decoding: Decoding = NO_DECODING,
    ) -> None:
        """With a `decoding` also what is encoded in a text: a match there is one of all that is encoded."""
        self.segments = segments
        self._decoding = decoding
        self.hits: list[Hit] = []
        self._seen: set[tuple[int, ...]] = set()
        self._screens = screens
        self._rules = rules

    @property
    def size(self) -> int:
        """Characters."""
        return sum(len(one.text) for one in self.segments)

    def steps(self) -> Iterator[None]:
        """A step ends after every `STEP` characters, about."""
        for index, segment in enumerate(self.segments):
            screen = self._screens.get(segment.channel)
            if screen is None:
                continue
            for found in self._segment(segment, screen):
                self._note(Hit(one.pattern, index, one.start, one.end) for one in found)
                yield
            if self._decoding.encodings:
                yield from self._encoded(index, segment, screen)
        yield from self._across()
        self.hits.sort(key=lambda one: (one.segment, one.start, one.end, one.rule))

    def _segment(self, segment: Segment, screen: Matcher) -> Iterator[list[Found]]:
        raw = segment.channel == "tool_arguments"
        if len(segment.text) <= STEP and not raw:
            yield screen.scan(segment.text)
        else:
            stream = screen.stream()
            yield from _in_steps(UnescapedStream(stream) if raw else stream, segment.text)

    def _encoded(self, index: int, segment: Segment, screen: Matcher) -> Iterator[None]:
        for one in decoded(segment.text, self._decoding.encodings, self._decoding.depth):
            same_length = len(one.text) == one.end - one.start  # rot13, where each letter stands for one
            for found in screen.scan(one.text):
                start, end = (one.start + found.start, one.start + found.end) if same_length else (one.start, one.end)
                self._note([Hit(found.pattern, index, start, end)])
            yield

    def _across(self) -> Iterator[None]:
        """Matches across the seams of texts."""
        for channel in ACROSS:
            screen = self._screens.get(channel)
            if screen is not None:
                for walk in walks(self.segments, channel):
                    yield from self._walked(walk, screen)
                for walk in crossings(self.segments, channel):
                    for found in screen.across(walk.texts):
                        self._note_across(walk, found)
                        yield

    def _walked(self, walk: Walk, screen: Matcher) -> Iterator[None]:
        self._note_across(walk, screen.scan(walk.text))
        yield
        if walk.decoded and self._decoding.encodings:
            for one in decoded(walk.text, self._decoding.encodings, self._decoding.depth):
                self._note_across(
                    walk, [found._replace(start=one.start, end=one.end) for found in screen.scan(one.text)]
                )
                yield

    def _note_across(self, walk: Walk, found: Sequence[Found]) -> None:
        for one in found:
            self._note(Hit(one.pattern, *place) for place in walk.places(one.start, one.end))

    def _note(self, hits: Iterable[Hit]) -> None:
        """Each once, however often a text is read: rot13 of an address is one too. Of a schema one for each rule."""
        for hit in hits:
            known = hit[:2] if self.segments[hit.segment].strings else hit
            if known not in self._seen:
                self._seen.add(known)
                self.hits.append(hit)

    # What is to be done

    def first(self, *actions: str) -> Hit | None:
        """The first hit of a rule with one of these actions."""
        return next((one for one in self.hits if self._rules[one.rule].action in actions), None)

    def unredactable(self) -> Hit | None:
        """A hit that should be replaced where that is not possible."""
        return next((one for one in self._to_redact() if self.segments[one.segment].put is None), None)

    def redact(self) -> None:
        """Write the texts with all replacements into the request."""
        edits: dict[int, list[Edit]] = {}
        for hit in self._to_redact():
            segment, rule = self.segments[hit.segment], self._rules[hit.rule]
            replacement = rule.replacement
            if segment.channel == "tool_arguments":
                replacement = within_json(replacement)
            edits.setdefault(hit.segment, []).append(Edit(hit.start, hit.end, replacement, hit.rule))
        for index, of_one in edits.items():
            segment = self.segments[index]
            if segment.put is not None:
                in_json = segment.channel == "tool_arguments"
                segment.text = applied(segment.text, merged(extended(of_one, segment.text, in_json=in_json)))
                segment.put(segment.text)

    def _to_redact(self) -> list[Hit]:
        return [one for one in self.hits if self._rules[one.rule].action == "redact"]


def _in_steps(stream: Stream, text: str) -> Iterator[list[Found]]:
    for start in range(0, len(text), STEP):
        yield stream.feed(text[start : start + STEP])
    yield stream.finish()


def within_json(text: str) -> str:
    """As it stands within a string of JSON text."""
    return msgspec.json.encode(text).decode()[1:-1]
