"""The screens of a policy's rules, by direction and channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from server.moderation.matches import Matcher
from server.moderation.policy import CUTS, Channel, Direction, Policy, Rule
from server.moderation.screen import Part, Screen

Build = Callable[[Policy, Sequence[int]], Sequence[tuple[Matcher, Sequence[int]]]]
"""The matchers of some of a policy's rules, by their indexes, with the rule of each pattern.

Raises `ConfigError`, one line that names the rule.
"""
Screens = Mapping[Direction, Mapping[Channel, Screen]]
"""A channel that nothing is looked for in has none."""


def build_screens(policy: Policy, build: Build) -> Screens:
    """Raises `ConfigError`, one line that names the rule."""
    screens = _Screens(policy, build)
    found: dict[Direction, dict[Channel, Screen]] = {"input": {}, "output": {}}
    for direction, of in found.items():
        for channel in get_args(Channel):
            rules = policy.file.rules
            wanted = [at for at, one in enumerate(rules) if direction in one.directions and channel in one.channels]
            if wanted:
                of[channel] = screens.of(tuple(wanted))
    return found


class _Screens:
    """Each is made once. So are its matchers, of literals apart from the rest: sets of rules often differ in one."""

    def __init__(self, policy: Policy, build: Build) -> None:
        self._policy = policy
        self._build = build
        self._made: dict[tuple[int, ...], Screen] = {}
        self._matchers: dict[tuple[int, ...], Sequence[tuple[Matcher, Sequence[int]]]] = {}

    def of(self, wanted: tuple[int, ...]) -> Screen:
        """Rules that only watch hold nothing back: with them alone an answer leaves as it came."""
        if wanted not in self._made:
            parts: list[Part] = []
            for cuts in (True, False):
                for literal in (True, False):
                    some = tuple(one for one in wanted if _is(self._policy.file.rules[one], cuts=cuts, literal=literal))
                    parts += [Part(*part, holds=cuts) for part in self._of_some(some)]
            self._made[wanted] = Screen(parts)
        return self._made[wanted]

    def _of_some(self, rules: tuple[int, ...]) -> Sequence[tuple[Matcher, Sequence[int]]]:
        if rules and rules not in self._matchers:
            self._matchers[rules] = self._build(self._policy, rules)
        return self._matchers.get(rules, ())


def _is(rule: Rule, *, cuts: bool, literal: bool) -> bool:
    return (rule.action in CUTS) is cuts and bool(rule.literals or rule.literals_file) is literal
