"""Random expressions over a tiny alphabet, and an oracle for them: sets of positions, no automaton, no parser.

An expression here is a nest of tuples; `written` makes the text that a user would write, `matches` what it finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Expr = tuple[Any, ...]
ALPHABET = "ab1 灯😀"
CLASSES: dict[str, Callable[[str], bool]] = {
    "[a灯]": lambda char: char in "a灯",
    "[^a]": lambda char: char != "a",
    "\\d": lambda char: char == "1",
    "\\w": lambda char: char in "ab1",
    "\\S": lambda char: char != " ",
    ".": lambda char: char != "\n",
}
ASSERTIONS: dict[str, Callable[[str, int], bool]] = {
    "\\b": lambda text, at: _word(text, at - 1) != _word(text, at),
    "\\B": lambda text, at: _word(text, at - 1) == _word(text, at),
    "^": lambda text, at: at == 0,
    "$": lambda text, at: at == len(text),
}
RUNS = st.lists(st.tuples(st.sampled_from(ALPHABET), st.integers(1, 24)), max_size=3)
TEXTS = st.one_of(
    st.text(st.sampled_from(ALPHABET), max_size=16),
    st.text(st.sampled_from("ab "), max_size=40),
    RUNS.map(lambda runs: "".join(char * times for char, times in runs)),
)

LEAVES: st.SearchStrategy[Expr] = st.one_of(
    st.tuples(st.just("char"), st.sampled_from(ALPHABET)),
    st.tuples(st.just("char"), st.sampled_from(ALPHABET)),
    st.tuples(st.just("class"), st.sampled_from(sorted(CLASSES))),
    st.tuples(st.just("assert"), st.sampled_from(sorted(ASSERTIONS))),
)


def _compound(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    several = st.lists(inner, min_size=2, max_size=4).map(tuple)
    bounds = st.tuples(st.integers(0, 3), st.sampled_from((0, 1, 2, 17, 20)))
    return st.one_of(
        st.tuples(st.just("seq"), several),
        st.tuples(st.just("seq"), several),
        st.tuples(st.just("alt"), several),
        st.tuples(st.just("repeat"), inner, bounds.map(lambda two: (two[0], two[0] + two[1]))),
    )


EXPRESSIONS: st.SearchStrategy[Expr] = st.recursive(LEAVES, _compound, max_leaves=8)


def _word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at] in "ab1"


def written(expr: Expr) -> str:
    match expr:
        case ("seq", parts):
            return "".join(map(written, parts))
        case ("alt", parts):
            return f"(?:{'|'.join(map(written, parts))})"
        case ("repeat", inner, (low, high)):
            return f"(?:{written(inner)}){{{low},{high}}}"
        case (_, text):
            return text
    raise AssertionError(expr)


def ends(expr: Expr, text: str, at: int) -> set[int]:
    """Where a match of the expression that begins at `at` can end."""
    match expr:
        case ("char", char):
            return {at + 1} if text[at : at + 1] == char else set()
        case ("class", name):
            return {at + 1} if at < len(text) and CLASSES[name](text[at]) else set()
        case ("assert", name):
            return {at} if ASSERTIONS[name](text, at) else set()
        case ("seq", parts):
            reached = {at}
            for part in parts:
                reached = {end for start in reached for end in ends(part, text, start)}
            return reached
        case ("alt", parts):
            return {end for part in parts for end in ends(part, text, at)}
        case ("repeat", inner, (low, high)):
            reached, all_ends = {at}, {at} if low == 0 else set[int]()
            for times in range(1, high + 1):
                reached = {end for start in reached for end in ends(inner, text, start)}
                all_ends |= reached if times >= low else set()
            return all_ends
    raise AssertionError(expr)


def matches(expr: Expr, text: str, accepted: Callable[[str], bool]) -> list[tuple[int, int]]:
    """From left to right, the longest accepted match at each start that has one, none into the one before."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        end = max((end for end in ends(expr, text, at) if end > at and accepted(text[at:end])), default=None)
        if end is not None:
            found.append((at, end))
        at = at + 1 if end is None else end
    return found


def parts(text: str, cuts: list[int]) -> list[str]:
    """The text in parts; some may be empty."""
    places = sorted(cut % (len(text) + 1) for cut in cuts)
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
