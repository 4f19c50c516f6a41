"""A policy made ready: its rules as matchers, by direction and channel. Built off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import get_args

from server.moderation.editor import Noted, RuleEditor
from server.moderation.input import within_json
from server.moderation.jury import NewSeat
from server.moderation.matches import Matcher, Stream
from server.moderation.normalise import has_bidi_override
from server.moderation.passage import WHOLE, Pace, pace_of
from server.moderation.policy import Channel, Direction, Policy, Rule
from server.moderation.screen import Part, Screen
from server.moderation.unescape import UnescapedStream

CUTS = frozenset(("block", "redact"))
BIDI_MESSAGE = (
    "The text holds characters that override its direction (U+202A to U+202E, U+2066 to U+2069). Leave them out."
)
Build = Callable[[Policy, Sequence[int]], Sequence[tuple[Matcher, Sequence[int]]]]
"""The matchers of some of a policy's rules, by their indexes, with the rule of each pattern.

Raises `ConfigError`, one line that names the rule.
"""


def _as_it_is(stream: Stream) -> Stream:
    return stream


class Ruleset:
    """All calls under a policy share it. Its matchers are built by `prepare`, or when they are first needed."""

    def __init__(self, policy: Policy, build: Build, new_seat: NewSeat) -> None:
        self.policy = policy
        self.seats = [new_seat(policy, use) for use in policy.file.judges]
        self.rules: Sequence[Rule] = policy.file.rules
        self._rules_in_json: Sequence[Rule] = [
            rule.model_copy(update={"replacement": within_json(rule.replacement)}) for rule in self.rules
        ]
        self.rules_of_names: Sequence[Rule] = [
            rule.model_copy(update={"action": "block"}) if rule.action == "redact" else rule for rule in self.rules
        ]
        self._build = build
        self._building = Lock()
        self._built: Mapping[Direction, Mapping[Channel, Screen]] | None = None

    @property
    def ready(self) -> bool:
        return self._built is not None

    def prepare(self) -> None:
        """Build the matchers, if that has not been done: for a thread, as it may take a second.

        Raises `ConfigError`, one line that names the rule.
        """
        with self._building:
            if self._built is None:
                self._built = self._screens()

    def _screens(self) -> Mapping[Direction, Mapping[Channel, Screen]]:
        matchers: dict[tuple[int, ...], Sequence[tuple[Matcher, Sequence[int]]]] = {}
        made: dict[tuple[int, ...], Screen] = {}
        found: dict[Direction, dict[Channel, Screen]] = {"input": {}, "output": {}}
        for direction, screens in found.items():
            for channel in get_args(Channel):
                wanted = tuple(_rules_for(self.rules, direction, channel))
                if wanted and wanted not in made:
                    made[wanted] = self._screen(wanted, matchers)
                if wanted:
                    screens[channel] = made[wanted]
        return found

    def _screen(
        self, wanted: Sequence[int], matchers: dict[tuple[int, ...], Sequence[tuple[Matcher, Sequence[int]]]]
    ) -> Screen:
        """Rules that only watch hold nothing back: with them alone an answer leaves as it came.

        `matchers` were made before: literals apart from the rest, as sets of rules often differ in one of them alone.
        """
        parts: list[Part] = []
        for cutting in (True, False):
            for spelled in (True, False):
                some = tuple(one for one in wanted if self._is(one, cutting=cutting, spelled=spelled))
                if some and some not in matchers:
                    matchers[some] = self._build(self.policy, some)
                parts += [Part(*part, holds=cutting) for part in matchers.get(some, ())]
        return Screen(parts)

    def _is(self, index: int, *, cutting: bool, spelled: bool) -> bool:
        rule = self.rules[index]
        return (rule.action in CUTS) is cutting and bool(rule.literals or rule.literals_file) is spelled

    def screens(self, direction: Direction) -> Mapping[Channel, Screen]:
        """By channel; one that nothing is looked for in has none."""
        if self._built is None:
            self.prepare()
        assert self._built is not None  # noqa: S101
        return self._built[direction]

    def editor(
        self, channel: Channel, noted: Noted, watched: Callable[[Stream], Stream] = _as_it_is
    ) -> RuleEditor | None:
        """Of an answer's text on a channel; None where nothing is looked for. Arguments of calls are JSON text."""
        screen = self.screens("output").get(channel)
        if screen is None:
            return None
        if channel == "tool_arguments":
            return RuleEditor(watched(UnescapedStream(screen.stream())), self._rules_in_json, noted, in_json=True)
        return RuleEditor(watched(screen.stream()), self.rules, noted)

    def name_editor(
        self, channel: Channel, noted: Noted, watched: Callable[[Stream], Stream] = _as_it_is
    ) -> RuleEditor | None:
        """Of a function's name that a model calls. Another name would be another function: what is to be replaced in
        one ends the answer.
        """
        screen = self.screens("output").get(channel)
        return None if screen is None else RuleEditor(watched(screen.stream()), self.rules_of_names, noted)

    def cuts(self, direction: Direction) -> bool:
        """Whether a rule or a judge may change or end texts of this direction."""
        rules = any(rule.action in CUTS and direction in rule.directions for rule in self.rules)
        return rules or any(seat.use.action in CUTS for seat in self.seats if direction in seat.judges)

    @property
    def pace(self) -> Pace | None:
        """How judges see streamed answers; None where none does. What is to be replaced they have to see as a whole."""
        seats = [seat for seat in self.seats if "output" in seat.judges]
        if not seats:
            return None
        return WHOLE if any(seat.use.action == "redact" for seat in seats) else pace_of(self.policy.file.stream)

    def judges(self, direction: Direction) -> bool:
        """Whether a judge may be asked about texts of this direction."""
        return any(direction in seat.judges for seat in self.seats)

    def refuses_direction(self, text: str) -> bool:
        """Whether the text can be read in another order than it is written in, and the policy will not have that."""
        return self.policy.file.bidi_overrides == "refuse" and has_bidi_override(text)

    def message(self, text: str) -> str:
        """What a caller is told, in the language of what he sent: one that the policy has."""
        known = self.policy.file.message
        chinese = sum("\u4e00" <= char <= "\u9fff" for char in text[:2000]) * 4 > len(text[:2000])
        for language in ("zh", "en") if chinese else ("en", "zh"):
            for name, message in known.items():
                if name.split("-")[0] == language:
                    return message
        return next(iter(known.values()))


def _rules_for(rules: Sequence[Rule], direction: Direction, channel: Channel) -> list[int]:
    return [index for index, rule in enumerate(rules) if direction in rule.directions and channel in rule.channels]
