"""A policy made ready: its rules as matchers, by direction and channel. Built off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property, partial
from threading import Lock
from typing import get_args

from server.moderation.editor import Noted, RuleEditor
from server.moderation.input import within_json
from server.moderation.jury import NewSeat
from server.moderation.matches import Stream
from server.moderation.normalise import has_bidi_override
from server.moderation.passage import WHOLE, Pace, pace_of
from server.moderation.policy import CUTS, Action, Channel, Direction, JudgeUse, Policy, Rule
from server.moderation.screen import Screen
from server.moderation.screens import Build, Screens, build_screens
from server.moderation.unescape import UnescapedStream

BIDI = "bidi_overrides"
"""Takes the place of rule and category where a text is refused for them."""
BIDI_MESSAGE = (
    "The text holds characters that override its direction (U+202A to U+202E, U+2066 to U+2069). Leave them out."
)


def _as_it_is(stream: Stream) -> Stream:
    return stream


class Ruleset:
    """All calls under a policy share it. Its matchers are built by `prepare`, or when they are first needed."""

    def __init__(self, policy: Policy, build: Build, new_seat: NewSeat) -> None:
        self.policy = policy
        self.seats = [new_seat(policy, use) for use in policy.file.judges]
        self.rules: Sequence[Rule] = policy.file.rules
        self._rules_in_json, self.rules_of_names = _in_json(self.rules), _of_names(self.rules)
        self.refuses_bidi = policy.file.bidi_overrides == "refuse"
        self._make: Callable[[], Screens] = partial(build_screens, policy, build)
        self._building = Lock()
        self._screens: Screens | None = None

    @property
    def ready(self) -> bool:
        return self._screens is not None

    def prepare(self) -> None:
        """Build the matchers, if that has not been done: for a thread, as it may take a second.

        Raises `ConfigError`, one line that names the rule.
        """
        with self._building:
            if self._screens is None:
                self._screens = self._make()

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
        other._rules_in_json, other.rules_of_names = _in_json(other.rules), _of_names(other.rules)
        other._make, other._building, other._screens = partial(other._like, self), Lock(), None
        other.refuses_bidi = self.refuses_bidi and not fails_open
        other.seats = [seat._replace(use=_judge_acting(seat.use, instead, fails_open)) for seat in self.seats]
        return other

    def _like(self, base: Ruleset) -> Screens:
        """The screens of another face, which share their matchers and hold text back for other rules."""
        return {
            direction: {
                name: screen.holding(lambda rule: self.rules[rule].action in CUTS)
                for name, screen in base.screens(direction).items()
            }
            for direction in get_args(Direction)
        }

    def screens(self, direction: Direction) -> Mapping[Channel, Screen]:
        """By channel; one that nothing is looked for in has none."""
        if self._screens is None:
            self.prepare()
        assert self._screens is not None  # noqa: S101
        return self._screens[direction]

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


def _of_names(rules: Sequence[Rule]) -> Sequence[Rule]:
    return [one.model_copy(update={"action": "block"}) if one.action == "redact" else one for one in rules]


def _judge_acting(use: JudgeUse, instead: Mapping[Action, Action], fails_open: bool) -> JudgeUse:
    on_failure = "open" if fails_open else use.on_failure
    return use.model_copy(update={"action": instead.get(use.action, use.action), "on_failure": on_failure})
