"""The decoder against all paths that make sense."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.moderation.judges.bioes import UNBIASED, Biases, Tagged, best_path, spans

O, B, I, E, S = range(5)  # noqa: E741  # the tags of the first label; the second has 5 to 8
TAGS = 9


def kind(tag: int) -> str:
    return "O" if tag == O else "BIES"[(tag - 1) % 4]


def makes_sense(before: int, after: int) -> bool:
    if kind(before) in "BI":
        return kind(after) in "IE" and (before - 1) // 4 == (after - 1) // 4
    return kind(after) in "OBS"


def bias(before: int, after: int, biases: Biases) -> float:
    if kind(before) == "O":
        return biases.background_stay if after == O else biases.background_to_start
    if kind(before) in "ES":
        return biases.end_to_background if after == O else biases.end_to_start
    return biases.inside_to_continue if kind(after) == "I" else biases.inside_to_end


@cache
def all_paths(length: int) -> list[tuple[int, ...]]:
    if length == 1:
        return [(tag,) for tag in range(TAGS) if kind(tag) in "OBS"]
    return [(*path, tag) for path in all_paths(length - 1) for tag in range(TAGS) if makes_sense(path[-1], tag)]


def whole(length: int) -> list[tuple[int, ...]]:
    return [path for path in all_paths(length) if kind(path[-1]) in "OES"]


def worth(path: tuple[int, ...] | list[int], rows: list[list[float]], biases: Biases) -> float:
    scores = sum(row[tag] for row, tag in zip(rows, path, strict=True))
    return scores + sum(bias(before, after, biases) for before, after in pairwise(path))


SCORE = st.integers(-20, 0).map(float)
ROWS = st.lists(st.lists(SCORE, min_size=TAGS, max_size=TAGS), min_size=1, max_size=5)
BIASES = st.just(UNBIASED) | st.builds(Biases, *[st.integers(-5, 5).map(float)] * 6)


@settings(max_examples=100)
@given(ROWS, BIASES)
def test_the_best_path_that_makes_sense(rows: list[list[float]], biases: Biases) -> None:
    path = best_path(rows, biases)
    assert tuple(path) in whole(len(rows))
    assert worth(path, rows, biases) == max(worth(one, rows, biases) for one in whole(len(rows)))


def rows_for(*tags: int, doubt: float = -9.0) -> list[list[float]]:
    return [[0.0 if tag == at else doubt for at in range(TAGS)] for tag in tags]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ((), []),
        ((O, O), []),
        ((S,), [(0, 0, 0)]),
        ((B, E), [(0, 0, 1)]),
        ((O, B, I, I, E, O, S, 8), [(0, 1, 4), (0, 6, 6), (1, 7, 7)]),
        ((B, E, 5, 7), [(0, 0, 1), (1, 2, 3)]),
        ((B, I, O), [(0, 0, 1)]),  # I is nearly as good as E: the last of a label that was left open becomes its end
        ((O, I, E), [(0, 1, 2)]),  # so does the first become its beginning
        ((B, 6, E), [(0, 0, 2)]),  # another label within one
    ],
)
def test_spans(tags: tuple[int, ...], found: list[tuple[int, int, int]]) -> None:
    rows = rows_for(*tags)
    for row in rows:
        row[B : O + S + 1] = [max(score, -1.0) if row[O] < 0 else score for score in row[B : O + S + 1]]
    assert spans(best_path(rows)) == [Tagged(*one) for one in found]


def test_a_bias_towards_spans_finds_more() -> None:
    rows = [[-1.0, *[-9.0] * 8], [-1.0, -9.0, -9.0, -9.0, -1.5, *[-9.0] * 4]]
    assert spans(best_path(rows)) == []
    assert spans(best_path(rows, Biases(background_to_start=1.0))) == [(0, 1, 1)]
