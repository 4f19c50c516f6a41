"""What a policy's rules find in the texts of a request. Pure; long texts in steps, so that others get their turn.

Each text is looked at on its own, and then what is found across the seams: whoever cuts a word in two and sends the
halves in two messages, parts or fields, has said it all the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from server.moderation.decoders import decoded
from server.moderation.edits import Edit, applied, extended, merged
from server.moderation.matches import Found, Matcher, Stream
from server.moderation.policy import Channel, Decoding, Rule
from server.moderation.segments import Segment
from server.moderation.unescape import UnescapedStream

STEP = 4096  # characters, a millisecond or two
SEAM = 512  # characters on both sides of a seam: more than any literal
NO_DECODING = Decoding()
GAP = "\ue003"  # a private-use character stands for what lies between two seams, and is part of no word


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
                self.hits += [Hit(one.pattern, index, one.start, one.end) for one in found]
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
                self.hits.append(Hit(found.pattern, index, start, end))
            yield

    def _across(self) -> Iterator[None]:
        """Matches across the seams of content: text in which the middle of long segments is left out."""
        screen = self._screens.get("content")
        numbers = [index for index, one in enumerate(self.segments) if one.channel == "content" and not _is_name(one)]
        if screen is None or len(numbers) < 2:
            return
        pieces: list[str] = []
        starts: list[tuple[int, int, int]] = []  # joined offset, segment, offset in it
        at = 0
        for index in numbers:
            text = self.segments[index].text
            parts = [(text, 0)] if len(text) <= 2 * SEAM else [(text[:SEAM] + GAP, 0), (text[-SEAM:], len(text) - SEAM)]
            for part, offset in parts:
                starts.append((at, index, offset))
                pieces.append(part)
                at += len(part)
        seen = {(one.rule, one.segment, one.start, one.end) for one in self.hits}
        for found in _in_steps(screen.stream(), "".join(pieces)):
            for one in found:
                split = list(_split(one, starts))
                if len({hit.segment for hit in split}) > 1:
                    self.hits += [hit for hit in split if hit not in seen]
            yield

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


def _split(found: Found, starts: Sequence[tuple[int, int, int]]) -> Iterator[Hit]:
    """The part of a match in each of the segments that it covers."""
    piece = bisect_right(starts, found.start, key=lambda one: one[0]) - 1
    while piece < len(starts) and starts[piece][0] < found.end:
        at, segment, offset = starts[piece]
        after = starts[piece + 1][0] if piece + 1 < len(starts) else found.end
        start, end = max(found.start, at), min(found.end, after)
        if end > start:
            yield Hit(found.pattern, segment, start - at + offset, end - at + offset)
        piece += 1


def _is_name(segment: Segment) -> bool:
    """Names stand beside the text, where they would part the halves of a word."""
    return segment.param.endswith(".name")


def within_json(text: str) -> str:
    """As it stands within a string of JSON text."""
    return msgspec.json.encode(text).decode()[1:-1]
