"""Literals against brute force: whatever the parts, the same matches; nothing leaves early, nothing is held in vain."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from server.moderation.forms import Literal
from server.moderation.literals import Literals
from server.moderation.matches import Found, Matcher
from tests.moderation import oracle

# Letters, a look-alike, digits that stand for letters, symbols that do, separators and stops, what vanishes, characters
# that are several, Chinese in both forms.
ALPHABET = "abilsAI" + "а" + "41512" + "@$!|" + " .,-\n" + "\u0301\u200b" + "ﬁß²" + "门門炸"
TEXTS = st.text(ALPHABET, max_size=24)
WORDS = st.text("abils", min_size=1, max_size=4)
NAMES = st.one_of(
    WORDS,
    st.tuples(WORDS, WORDS).map(" ".join),
    st.text(ALPHABET, min_size=1, max_size=6).filter(lambda text: bool(oracle.Wanted(Literal(text)).letters)),
)
LITERALS = st.lists(st.builds(Literal, NAMES, st.booleans()), min_size=1, max_size=5)
CUTS = st.lists(st.integers(0, 30), max_size=12)


def cut(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(one, len(text)) for one in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@st.composite
def texts_with(draw: st.DrawFn, literals: list[Literal]) -> str:
    """Texts made of pieces of the literals, so that matches are common."""
    pieces = st.sampled_from([one.text for one in literals])
    parts = draw(st.lists(st.one_of(pieces, st.text(ALPHABET, max_size=3)), max_size=6))
    joint = draw(st.sampled_from(("", " ", ".", ", ")))
    text = joint.join(parts)
    return ".".join(text) if draw(st.integers(0, 5)) == 0 else text


CASES = LITERALS.flatmap(lambda literals: st.tuples(st.just(literals), st.one_of(TEXTS, texts_with(literals))))


@settings(max_examples=400, deadline=None)
@given(CASES, CUTS)
def test_any_cut_against_brute_force(case: tuple[list[Literal], str], cuts: list[int]) -> None:
    literals, text = case
    matcher: Matcher = Literals(literals)
    expected = sorted(oracle.matches(text, literals))
    assert matcher.scan(text) == expected
    stream = matcher.stream()
    told: list[Found] = []
    left = length = 0
    for part in cut(text, cuts):
        length += len(part)
        new = stream.feed(part)
        assert new == sorted(new)
        told += new
        assert left <= stream.hold_from <= length
        left = stream.hold_from
        assert all(one.start >= left for one in expected if one not in told and one.start < length)
    told += stream.finish()
    assert stream.hold_from == length
    assert sorted(told) == expected


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_no_more_is_held_than_could_become_a_match(case: tuple[list[Literal], str]) -> None:
    literals, text = case
    stream = Literals(literals).stream()
    told = set(stream.feed(text))
    assert stream.hold_from == oracle.hold_from(text, literals, told)


@settings(max_examples=200, deadline=None)
@given(LITERALS, st.data())
def test_a_long_text_is_the_sum_of_its_windows(literals: list[Literal], data: st.DataObject) -> None:
    """The whole text is looked at in windows, a stream is not."""
    parts = [data.draw(texts_with(literals)) for _ in range(data.draw(st.integers(1, 6)))]
    text = data.draw(st.sampled_from((" ", " nothing much ", ", " + "\u0301" * 40))).join(parts * 8)
    stream = Literals(literals).stream()
    told = stream.feed(text)
    assert Literals(literals, window=1).scan(text) == sorted(told + stream.finish())
