"""The matchers of a policy's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from server.config import ConfigError
from server.moderation.matches import Matcher
from server.moderation.patterns import Pattern, PatternMatcher
from server.moderation.policy import Policy, Rule
from server.moderation.regex import BadRegex, parse


def build_matchers(policy: Policy, rules: Sequence[int]) -> list[tuple[Matcher, Sequence[int]]]:
    """Of some of a policy's rules, by their indexes. Raises `ConfigError`, one line that names the rule."""
    patterns: list[Pattern] = []
    owners: list[int] = []
    for index in rules:
        rule = policy.file.rules[index]
        try:
            for pattern in _patterns(policy, rule):
                patterns.append(pattern)
                owners.append(index)
        except BadRegex as error:
            raise ConfigError(f"policy {policy.name}: rule {rule.id}: {error}") from None
    return [(PatternMatcher(patterns), owners)] if patterns else []


def _patterns(policy: Policy, rule: Rule) -> Iterator[Pattern]:
    for text in rule.regex:
        yield Pattern(parse(text, ignore_case=not rule.case_sensitive))
    for literal in policy.literals(rule):
        yield Pattern(parse(re.escape(literal)))
