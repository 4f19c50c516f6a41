"""A policy made ready: its rules as matchers, by direction and channel. Built off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import get_args

from server.moderation.editor import Noted, RuleEditor
from server.moderation.input import within_json
from server.moderation.jury import NewSeat
from server.moderation.matches import Matcher, Stream
from server.moderation.normalise import has_bidi_override
from server.moderation.policy import Action, Channel, Direction, JudgeUse, Policy, Rule
from server.moderation.screen import Part, Screen
from server.moderation.unescape import UnescapedStream

CUTS = frozenset(("block", "redact"))
BIDI = "bidi_overrides"
"""Takes the place of rule and category where a text is refused for them."""
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
    """Immutable: all calls under a policy share it."""

    def __init__(self, policy: Policy, build: Build, new_seat: NewSeat) -> None:
        self.policy = policy
        self.seats = [new_seat(policy, use) for use in policy.file.judges]
        self.rules: Sequence[Rule] = policy.file.rules
        self._rules_in_json = _in_json(self.rules)
        self.refuses_bidi = policy.file.bidi_overrides == "refuse"
        made: dict[tuple[int, ...], Screen] = {}
        self._screens: dict[Direction, dict[Channel, Screen]] = {"input": {}, "output": {}}
        for direction, screens in self._screens.items():
            for channel in get_args(Channel):
                wanted = tuple(_rules_for(self.rules, direction, channel))
                if wanted and wanted not in made:
                    made[wanted] = self._screen(wanted, build)
                if wanted:
                    screens[channel] = made[wanted]

    def _screen(self, wanted: Sequence[int], build: Build) -> Screen:
        """Those that only watch hold nothing back: with them alone an answer leaves as it came."""
        cutting = [index for index in wanted if self.rules[index].action in CUTS]
        watching = [index for index in wanted if self.rules[index].action not in CUTS]
        parts = [Part(*part) for part in build(self.policy, cutting)] if cutting else []
        parts += [Part(*part, holds=False) for part in build(self.policy, watching)] if watching else []
        return Screen(parts)

    @cached_property
    def scoring(self) -> Ruleset:
        """The same policy that only looks: whatever it finds changes nothing, and a judge without a verdict neither."""
        return self._acting({"block": "flag", "redact": "flag"}, fails_open=True)

    @cached_property
    def blocking(self) -> Ruleset:
        """The same policy that blocks whatever it finds, but for what is on trial (`shadow`)."""
        return self._acting({"flag": "block", "redact": "block"}, fails_open=False)

    def _acting(self, instead: Mapping[Action, Action], *, fails_open: bool) -> Ruleset:
        other = copy(self)
        other.rules = [one.model_copy(update={"action": instead.get(one.action, one.action)}) for one in self.rules]
        other._rules_in_json = _in_json(other.rules)
        other._screens = {
            direction: {
                name: screen.holding(lambda rule: other.rules[rule].action in CUTS) for name, screen in of.items()
            }
            for direction, of in self._screens.items()
        }
        other.refuses_bidi = self.refuses_bidi and not fails_open
        other.seats = [seat._replace(use=_judge_acting(seat.use, instead, fails_open)) for seat in self.seats]
        return other

    def screens(self, direction: Direction) -> Mapping[Channel, Screen]:
        """By channel; one that nothing is looked for in has none."""
        return self._screens[direction]

    def editor(
        self, channel: Channel, noted: Noted, watched: Callable[[Stream], Stream] = _as_it_is
    ) -> RuleEditor | None:
        """Of an answer's text on a channel; None where nothing is looked for. Arguments of calls are JSON text."""
        screen = self._screens["output"].get(channel)
        if screen is None:
            return None
        if channel == "tool_arguments":
            return RuleEditor(watched(UnescapedStream(screen.stream())), self._rules_in_json, noted)
        return RuleEditor(watched(screen.stream()), self.rules, noted)

    def cuts(self, direction: Direction) -> bool:
        """Whether a rule or a judge may change or end texts of this direction."""
        rules = any(rule.action in CUTS and direction in rule.directions for rule in self.rules)
        return rules or any(seat.use.action in CUTS for seat in self.seats if direction in seat.judges)

    def judges(self, direction: Direction) -> bool:
        """Whether a judge may be asked about texts of this direction."""
        return any(direction in seat.judges for seat in self.seats)

    def refuses_direction(self, text: str) -> bool:
        """Whether the text can be read in another order than it is written in, and the policy will not have that."""
        return self.refuses_bidi and has_bidi_override(text)

    def message(self, text: str) -> str:
        """What a caller is told, in the language of what he sent: one that the policy has."""
        known = self.policy.file.message
        chinese = sum("\u4e00" <= char <= "\u9fff" for char in text[:2000]) * 4 > len(text[:2000])
        for language in ("zh", "en") if chinese else ("en", "zh"):
            for name, message in known.items():
                if name.split("-")[0] == language:
                    return message
        return next(iter(known.values()))


def _in_json(rules: Sequence[Rule]) -> Sequence[Rule]:
    return [rule.model_copy(update={"replacement": within_json(rule.replacement)}) for rule in rules]


def _judge_acting(use: JudgeUse, instead: Mapping[Action, Action], fails_open: bool) -> JudgeUse:
    on_failure = "open" if fails_open else use.on_failure
    return use.model_copy(update={"action": instead.get(use.action, use.action), "on_failure": on_failure})


def _rules_for(rules: Sequence[Rule], direction: Direction, channel: Channel) -> list[int]:
    return [index for index, rule in enumerate(rules) if direction in rule.directions and channel in rule.channels]
