"""The scanner against the whole text: whatever the pieces, the same cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.answers.stop import StopScanner

LETTERS = st.text("ab<c", max_size=30)
STOPS = st.lists(st.text("ab<c", min_size=1, max_size=5), min_size=1, max_size=4)


def expected(text: str, stops: list[str]) -> tuple[str, bool]:
    """Letter by letter: the stop text that is complete first ends it; of those that end there, the longest."""
    for end in range(1, len(text) + 1):
        hits = [stop for stop in stops if text[:end].endswith(stop)]
        if hits:
            return text[: end - max(map(len, hits))], True
    return text, False


def cut(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(one, len(text)) for one in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


@given(LETTERS, STOPS, st.lists(st.integers(0, 30), max_size=10))
def test_any_cut(text: str, stops: list[str], cuts: list[int]) -> None:
    found: list[str] = []
    scanner = StopScanner(stops, found.append)
    out = "".join(scanner.feed(piece) for piece in cut(text, cuts))
    out += "" if scanner.ended else scanner.finish()
    assert (out, scanner.ended) == expected(text, stops)
    assert len(found) == scanner.ended
    assert all(one in stops and text.startswith(out + one) for one in found)


@given(LETTERS, STOPS)
def test_no_more_is_held_than_could_become_a_stop_text(text: str, stops: list[str]) -> None:
    scanner = StopScanner(stops, lambda _: None)
    out = scanner.feed(text)
    if not scanner.ended:
        held = text[len(out) :]
        assert held == "" or any(stop.startswith(held) for stop in stops)


def test_nothing_after_the_end() -> None:
    scanner = StopScanner(["x"], lambda _: None)
    assert scanner.feed("ax") == "a"
    assert scanner.feed("b") == ""


@given(LETTERS, STOPS, st.lists(st.integers(0, 30), max_size=10))
def test_the_stop_text_itself_is_kept_on_request(text: str, stops: list[str], cuts: list[int]) -> None:
    scanner = StopScanner(stops, lambda _: None, include=True)
    out = "".join(scanner.feed(piece) for piece in cut(text, cuts))
    out += "" if scanner.ended else scanner.finish()
    without, ended = expected(text, stops)
    assert scanner.ended == ended
    assert out.startswith(without)
    assert (out.removeprefix(without) in stops) if ended else (out == text)
