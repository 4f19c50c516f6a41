"""Literals in pieces: each seam is nothing or a space, in every combination."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from server.moderation.forms import Literal
from server.moderation.literals import Literals
from server.moderation.matches import Found

WORDS = ("bomb", "stop the train", "lan tern", "灯笼计划", "ab", "abab", "b2b", "élan vital", "a b c")
NOISE = (
    *("bo", "m", "b", "a", "ab", " ", "-", "\u200b", ".", ",", "stop", "the", "tr", "ain", "灯", "笼", "计划", "燈"),
    *("é", "lan", "tern", "0", "$", "@", "!", "2", "\n", "vital", "c", "x", "ｂ"),
)
TEXT = st.lists(st.sampled_from(NOISE), min_size=1, max_size=4).map("".join)
LITERAL = st.builds(Literal, st.sampled_from(WORDS), st.booleans())


def found_across(literals: Literals, pieces: list[str]) -> set[Found]:
    return {one for some in literals.across(pieces) for one in some if seams_within(pieces, one) > 1}


def seams_within(pieces: list[str], one: Found) -> int:
    ends = [sum(map(len, pieces[:at])) for at in range(1, len(pieces))]
    return sum(one.start < end < one.end for end in ends)


def every_combination(literals: Literals, pieces: list[str]) -> set[Found]:
    """The measure: all of them, one by one."""
    found: set[Found] = set()
    for choice in product(("", " "), repeat=len(pieces) - 1):
        text = "".join(piece + seam for piece, seam in zip(pieces, (*choice, ""), strict=True))
        places = offsets(pieces, choice)
        found |= {Found(places[one.start], places[one.end - 1] + 1, one.pattern) for one in literals.scan(text)}
    return {one for one in found if seams_within(pieces, one) > 1}


def offsets(pieces: list[str], choice: tuple[str, ...]) -> list[int]:
    places: list[int] = []
    seen = 0
    for piece, seam in zip(pieces, (*choice, ""), strict=True):
        places += range(seen, seen + len(piece))
        seen += len(piece)
        places += [seen] * len(seam)
    return places


@settings(max_examples=1000, deadline=None)
@given(st.lists(LITERAL, min_size=1, max_size=4), st.lists(TEXT, min_size=1, max_size=6))
def test_all_combinations_are_read(named: list[Literal], pieces: list[str]) -> None:
    literals = Literals(named)
    assert found_across(literals, pieces) == every_combination(literals, pieces)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abomb@$!1-stopherain 灯笼计划"), min_size=3, max_size=80))
def test_few_readings_are_followed(letters: list[str]) -> None:
    """Letter by letter, each seam a space or none: two to the eightieth ways, of which hardly any differ."""
    literals = Counted([Literal(word) for word in WORDS])
    list(literals.across(letters))
    assert literals.looks <= 40 * len(letters)


def test_words_that_are_in_no_literal_cost_nothing() -> None:
    literals = Counted(["project lantern"])
    chat = ["Good morning to you.", "thanks, that works for me", "see you on Friday then", "ok", "and what of it?"]
    assert not any(literals.across(chat))
    assert literals.looks == 0


class Counted(Literals):
    """Of its automaton it is counted how often a reading asks for the next state."""

    looks = 0

    def __init__(self, literals: list[Literal | str]) -> None:
        super().__init__(literals)
        along = self.table.automaton.along

        def counted(state: int, code: int) -> int:
            self.looks += 1
            return along(state, code)

        self.table.automaton.along = counted  # type: ignore[method-assign]


def test_what_cannot_be_seen_is_no_way_out() -> None:
    literals = Literals(["project lantern"])
    pieces = ["my pro" + "\u200b" * 300, "ject" + "\u200b" * 300 + "lan", "\u200b" * 300 + "tern."]
    (found,) = found_across(literals, pieces)
    assert pieces[0][found.start :].startswith("pro")


def test_a_word_that_goes_on_is_another() -> None:
    """Also where the literal ends with as much of the last piece as is looked at in one go."""
    literals = Literals(["abcdefghijklmnopqrst"])
    for size in range(1, 18):
        pieces = ["abc"[: 19 - size], "abcdefghijklmnopqrst"[3 : 20 - size], "abcdefghijklmnopqrst"[20 - size :]]
        if all(pieces):
            assert found_across(literals, pieces) == {Found(0, 20, 0)}, size
            assert found_across(literals, [*pieces[:2], pieces[2] + "uv"]) == set(), size
