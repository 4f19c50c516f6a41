"""What is told of a stream is what is found in the whole text, and nothing leaves too early, for any split."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.moderation.detectors import DETECTORS
from server.moderation.matches import Found
from server.moderation.patterns import Pattern, PatternMatcher
from server.moderation.regex import BadRegex, parse
from server.moderation.secrets import SECRETS
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


def check(one: PatternMatcher, text: str, parts: list[str], width: int) -> None:
    """What is told is what is found; nothing of it leaves before; no more is held than the longest match."""
    whole = one.scan(text)
    stream = one.stream()
    seen: list[Found] = []
    come = 0
    for part in parts:
        come += len(part)
        seen += stream.feed(part)
        assert seen == whole[: len(seen)]
        left = [found for found in whole[len(seen) :] if found.start < come]
        assert come - width <= stream.hold_from <= min((found.start for found in left), default=come)
    assert seen + stream.finish() == whole


@settings(max_examples=800, deadline=None)
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
    width = max(pattern.regex.width for pattern in patterns)
    one = PatternMatcher(patterns)
    assert one.scan(text) == sorted(expected)
    check(one, text, expressions.parts(text, cuts), width)
    check(one, text, list(text), width)


LONG = (
    "a{0,40}b",
    "[ab]{3,30}1",
    "a[ab]{20}",
    "(?:[ab]{1,20} ){1,3}1",
    "(?:a{1,30}b?){2}",
    r"\ba{17,25}\b",
    "灯{18,40}b",
    "(?:aab|ab){1,20}1?",
    "b{1,99}$",
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab1 灯"), st.integers(1, 45)), max_size=5),
    st.lists(st.sampled_from(LONG), min_size=1, max_size=3, unique=True),
    CUTS,
)
def test_long_repetitions_in_long_runs(runs: list[tuple[str, int]], sources: list[str], cuts: list[int]) -> None:
    """What is taken for endless where starts are looked for has its bound where matches are."""
    text = "".join(char * times for char, times in runs)
    one = matcher(*sources)
    check(one, text, expressions.parts(text, cuts), width=99)
    check(one, text, list(text), width=99)


def test_found_are_code_points() -> None:
    text = "请联系😀 Zoë: id-42，id-43"
    one = matcher(r"\bid-\d{2}\b", "zoë", "系😀")
    assert [text[found.start : found.end] for found in one.scan(text)] == ["系😀", "Zoë", "id-42", "id-43"]
    check(one, text, list(text), width=5)


def test_halves_of_surrogate_pairs_are_characters_that_match_nothing() -> None:
    one = matcher("a.b", "id")
    assert one.scan("\ud83d\ude00id a\ud83db") == [Found(2, 4, 1), Found(5, 8, 0)]
    check(one, "x\ud83d\ude00id", list("x\ud83d\ude00id"), width=3)


def test_patterns_do_not_hide_each_other_and_the_longest_is_taken() -> None:
    one = matcher("abc|ab", "bc", "a", "b[cd]{1,3}")
    assert one.scan("abcd") == [Found(0, 1, 2), Found(0, 3, 0), Found(1, 3, 1), Found(1, 4, 3)]


def test_what_cannot_grow_is_told_at_once_and_what_can_is_not() -> None:
    stream = matcher("lamp").stream()
    assert stream.feed("a lam") == []
    assert stream.hold_from == 2
    assert stream.feed("p") == [Found(2, 6, 0)]
    assert stream.hold_from == 6
    stream = matcher("bombs?", r"end\b").stream()
    assert stream.feed("a bomb") == []
    assert stream.feed(" ") == [Found(2, 6, 0)]
    assert stream.feed("end") == []
    assert stream.finish() == [Found(7, 10, 1)]


def test_what_stands_before_still_counts_when_it_has_left() -> None:
    one = matcher(r"\bid", "^no", r"\Bx", "(?m:^)y")
    for text in ("xid", " id", "灯id", "no", "no no", "ax x", "a\ny y"):
        stream = one.stream()
        assert [found for char in text for found in stream.feed(char)] + stream.finish() == one.scan(text)
    assert one.scan("a id no ax\ny") == [Found(2, 4, 0), Found(9, 10, 2), Found(11, 12, 3)]


def test_shorter_candidates_are_tried_when_a_validator_refuses_the_longest() -> None:
    tried: list[str] = []

    def even(text: str) -> bool:
        tried.append(text)
        return text in {"12", "34"}

    one = PatternMatcher([Pattern(parse("[0-9]{2,4}"), even)])
    assert one.scan("1234") == [Found(0, 2, 0), Found(2, 4, 0)]
    assert tried == ["1234", "123", "12", "34"]
    assert one.scan("5312") == [Found(2, 4, 0)]


@pytest.mark.parametrize("letter", ["K", "k", "\u212a", "ſ", "S"])
def test_letters_beyond_ascii_that_are_a_k_or_an_s(letter: str) -> None:
    """The cheap questions before a search may not miss them."""
    source = "[k]@" if letter in "Kk\u212a" else "sss"
    text = f"{letter}@" if letter in "Kk\u212a" else f"s{letter}s"
    one = matcher(source)
    assert [(found.start, found.end) for found in one.scan(f"x {text} x")] == [(2, 2 + len(text))]
    check(one, f"x {text} x", list(f"x {text} x"), width=3)


def test_no_patterns() -> None:
    one = PatternMatcher([])
    assert one.scan("anything") == []
    stream = one.stream()
    assert (stream.feed("anything"), stream.hold_from, stream.finish()) == ([], 8, [])


def test_more_patterns_than_one_automaton_holds() -> None:
    one = matcher(*(f"w{number}[a-z]{{0,900}}!" for number in range(60)))
    text = "w7abc! w59! w60!"
    assert one.scan(text) == [Found(0, 6, 7), Found(7, 11, 59)]
    check(one, text, list(text), width=1000)


HOSTILE = (
    "1",
    "a@",
    "a.a@",
    " -",
    "4111 ",
    "4 ",
    "1.",
    "a:",
    "::1",
    "DE89 ",
    "http://a",
    "eyJ.",
    "-----BEGIN ",
    "+(0",
    "é",
)


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_million_characters_of(unit: str) -> None:
    """The search ends, and streams hold no more than the longest match."""
    names = list(DETECTORS) + list(SECRETS)
    one = PatternMatcher([*DETECTORS.values(), *SECRETS.values()])
    whole = one.scan((unit * 1_000_000)[:1_000_000])
    assert {names[found.pattern] for found in whole} <= {"ip_address", "url"}
    stream = one.stream()
    text = (unit * 10_000)[:10_000]
    told = [found for start in range(0, len(text), 5) for found in stream.feed(text[start : start + 5])]
    assert len(text) - stream.hold_from <= 2048
    assert told + stream.finish() == one.scan(text)
