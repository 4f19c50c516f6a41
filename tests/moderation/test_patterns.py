"""What is told of a stream is what is found in the whole text, and nothing leaves too early, for any split."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.moderation.matches import Found
from server.moderation.patterns import Pattern, PatternMatcher, PatternStream
from server.moderation.regex import BadRegex, parse
from tests.moderation import expressions
from tests.moderation.expressions import EXPRESSIONS, TEXTS, Expr

CUTS = st.lists(st.integers(0, 100), max_size=8)
VALIDATORS: dict[str, Callable[[str], bool] | None] = {
    "none": None,
    "even": lambda text: len(text) % 2 == 0,
    "no b at the end": lambda text: not text.endswith("b"),
    "never": lambda text: False,
}


def matcher(*sources: str, ignore_case: bool = True) -> PatternMatcher:
    return PatternMatcher([Pattern(parse(one, ignore_case=ignore_case)) for one in sources])


def told(stream: PatternStream, parts: list[str]) -> list[tuple[int, Found]]:
    """Everything that is told, each with `hold_from` as it was before that."""
    seen: list[tuple[int, Found]] = []
    for part in parts:
        before = stream.hold_from
        seen += [(before, one) for one in stream.feed(part)]
        assert before <= stream.hold_from
    before = stream.hold_from
    return seen + [(before, one) for one in stream.finish()]


def check(one: PatternMatcher, text: str, parts: list[str]) -> None:
    whole = one.scan(text)
    stream = one.stream()
    seen: list[Found] = []
    come = 0
    for part in parts:
        come += len(part)
        seen += stream.feed(part)
        assert seen == whole[: len(seen)]
        left = [found for found in whole[len(seen) :] if found.start < come]
        assert stream.hold_from <= min((found.start for found in left), default=come)
    assert seen + stream.finish() == whole


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.tuples(EXPRESSIONS, st.sampled_from(sorted(VALIDATORS))), min_size=1, max_size=3), TEXTS, CUTS)
def test_any_expression_any_split(rules: list[tuple[Expr, str]], text: str, cuts: list[int]) -> None:
    patterns: list[Pattern] = []
    expected: list[Found] = []
    for expr, name in rules:
        try:
            regex = parse(expressions.written(expr))
        except BadRegex:
            assume(False)
            raise
        validator = VALIDATORS[name]
        spans = expressions.matches(expr, text, validator or (lambda text: True))
        expected += [Found(start, end, len(patterns)) for start, end in spans]
        patterns.append(Pattern(regex, validator))
    one = PatternMatcher(patterns)
    assert one.scan(text) == sorted(expected)
    check(one, text, expressions.parts(text, cuts))
    check(one, text, list(text))
