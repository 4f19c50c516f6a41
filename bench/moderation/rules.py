"""Tier 0 as it is measured: what the rules of a policy find in a text, as a gateway would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.moderation.score import Rate, with_parents
from bench.moderation.sets import ANY, Expected, Text
from server.config import ConfigError
from server.moderation.build import build_matchers
from server.moderation.files import load_policy
from server.moderation.input import Inspection
from server.moderation.jury import Seat
from server.moderation.matches import Matcher
from server.moderation.normalise import has_bidi_override
from server.moderation.policy import Action, Direction, JudgeUse, Policy
from server.moderation.ruleset import Ruleset
from server.moderation.segments import Segment

BIDI = "bidi_overrides"  # the finding that stands for a text refused for its bidi overrides
_BIDI_CHARS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _no_seat(policy: Policy, use: JudgeUse) -> Seat:
    raise ConfigError(f"policy {policy.name}: judges are measured with --judge, and not from a policy: {use.engine}")


class Finding(NamedTuple):
    rule: str
    category: str
    start: int
    end: int


class Rules:
    """A policy's rules. Raises `ConfigError`."""

    def __init__(self, path: Path) -> None:
        self._ruleset = Ruleset(load_policy(path), build_matchers, _no_seat)
        self.file = self._ruleset.policy.file
        self.categories = {rule.id: rule.category for rule in self.file.rules} | {BIDI: BIDI}

    def action(self, rule: str) -> Action:
        """Of a rule by its id."""
        return next(one.action for one in self.file.rules if one.id == rule)

    def literals(self, rule: str) -> Sequence[str]:
        """Of a rule by its id, wherever they stand."""
        return self._ruleset.policy.literals(next(one for one in self.file.rules if one.id == rule))

    def screen(self, direction: Direction) -> Matcher:
        """Of content."""
        return self._ruleset.screens(direction)["content"]

    def find(self, text: str, direction: Direction = "input") -> list[Finding]:
        """In the content of a message or an answer."""
        found = self._in_request(text) if direction == "input" else self._in_answer(text)
        findings = [self._finding(*one) for one in found]
        if direction == "input" and self.file.bidi_overrides == "refuse" and has_bidi_override(text):
            at = [index for index, char in enumerate(text) if char in _BIDI_CHARS]
            findings.append(Finding(BIDI, BIDI, at[0], at[-1] + 1))
        return findings

    def _in_request(self, text: str) -> Iterator[tuple[int, int, int]]:
        ruleset = self._ruleset
        segment = Segment("text", "content", text)
        inspection = Inspection([segment], ruleset.screens("input"), ruleset.rules, self.file.decode)
        for _ in inspection.steps():
            pass
        yield from ((one.rule, one.start, one.end) for one in inspection.hits)

    def _in_answer(self, text: str) -> Iterator[tuple[int, int, int]]:
        screen = self._ruleset.screens("output").get("content")
        found = [] if screen is None else screen.scan(text)
        yield from ((one.pattern, one.start, one.end) for one in found)

    def _finding(self, rule: int, start: int, end: int) -> Finding:
        return Finding(self._ruleset.rules[rule].id, self._ruleset.rules[rule].category, start, end)

    def labelled(self, texts: Iterable[Text]) -> list[Text]:
        """The own set's texts for this policy, with the categories of their rules as labels."""
        mine = [one for one in texts if one.policy in (self.file.name, "all")]
        true = [self._true(one) for one in mine]
        every = with_parents(self.categories.values()).union(*true) - {BIDI}
        return [
            one._replace(labels={ANY: one.labels[ANY], **_labels(every, have, named=bool(one.expected))})
            for one, have in zip(mine, true, strict=True)
        ]

    def _true(self, text: Text) -> frozenset[str]:
        named = {name for name, truth in text.labels.items() if truth and name != ANY}
        return with_parents(named | {self.categories.get(span.rule, span.rule) for span in text.expected})


def _labels(every: Iterable[str], true: frozenset[str], *, named: bool) -> dict[str, bool]:
    """Of a text that no rule names, it is not known in which category within its own it is."""
    known = [one for one in sorted(every) if one in true or named or one.partition("/")[0] not in true]
    return {one: one in true for one in known}


class Exactness(NamedTuple):
    """Of the spans that were expected: those found to the character. `extra`: texts with anything beside."""

    exact: Rate
    extra: Rate


def exactness(texts: Sequence[Text], rules: Rules) -> Exactness:
    exact = spans = extra = 0
    for one in texts:
        found = {Expected(each.rule, each.start, each.end) for each in rules.find(one.text)}
        exact += len(found & set(one.expected))
        spans += len(one.expected)
        extra += not found <= set(one.expected)
    return Exactness(Rate(exact, spans), Rate(extra, len(texts)))
