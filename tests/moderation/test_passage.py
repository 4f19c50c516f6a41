"""What may leave before judges have spoken, for any way in which a choice may come and verdicts may be late."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.moderation.passage import JOINT, MOST_WINDOWS, REASONING, WHOLE, Pace, Passage, Window, pace_of, strictest
from server.moderation.policy import Streaming

CHANNELS = ("content", REASONING, "refusal", "tool_name/0", "tool_arguments/0", "tool_arguments/1")
TEXTS = st.lists(st.tuples(st.sampled_from(CHANNELS), st.text("abcdef", max_size=9)), max_size=3)
ITEMS = st.lists(TEXTS, max_size=40)
PACES = st.one_of(
    st.just(WHOLE),
    st.integers(2, 12).flatmap(
        lambda window: st.builds(
            Pace, st.just(window), st.integers(0, window - 1), st.one_of(st.just(0), st.integers(window, 30))
        )
    ),
)
Texts = list[tuple[str, str]]


@dataclass
class Run:
    """A choice whose items are numbers, and what can be known of it from outside."""

    pace: Pace
    items: list[Texts]
    passage: Passage[int] = field(init=False)
    left: list[int] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    fresh: list[dict[str, str]] = field(default_factory=list)  # of each window, what was in none before
    judged: dict[str, str] = field(default_factory=dict)
    asked: bool = False

    def __post_init__(self) -> None:
        self.items = [[one for one in texts if one[1]] for texts in self.items]
        self.passage = Passage(self.pace)

    def step(self) -> None:
        """As the shell does after whatever happened."""
        window = self.passage.question()
        if window is not None:
            assert not self.asked, "one window at a time"
            self.asked = True
            self.windows.append(window)
            self.fresh.append({channel: self._new(channel, text) for channel, text in window.parts.items()})
        self.left += self.passage.released()

    def _new(self, channel: str, text: str) -> str:
        """Without what it begins with: the end of what was judged on its channel, all of that if it is reasoning."""
        past = self.judged.get(channel, "")
        overlap = len(past) if channel == REASONING else min(len(past), self.pace.overlap)
        assert text[:overlap] == past[len(past) - overlap :]
        return text[overlap:]

    def verdict(self) -> None:
        for channel, text in self.fresh[-1].items():
            self.judged[channel] = self.judged.get(channel, "") + text
        self.asked = False
        self.passage.passed()
        self.step()

    def text(self, numbers: list[int]) -> dict[str, str]:
        out: dict[str, str] = {}
        for number in numbers:
            for channel, text in self.items[number]:
                out[channel] = out.get(channel, "") + text
        return out

    def unjudged(self) -> dict[str, int]:
        """By channel, how much has left without a verdict."""
        return {
            channel: len(text) - len(self.judged.get(channel, "")) for channel, text in self.text(self.left).items()
        }


def run(pace: Pace, items: list[Texts], random: Any) -> Run:
    """All of a choice, with verdicts whenever chance will have them."""
    one = Run(pace, items)
    for number, texts in enumerate(one.items):
        last = number == len(items) - 1
        one.passage.add(number, texts, last=last)
        one.step()
        check(one)
        while one.asked and random.random() < 0.4:
            one.verdict()
            check(one)
    one.passage.close()
    one.step()
    while one.asked:
        assert not one.passage.over
        one.verdict()
        check(one)
    return one


def check(one: Run) -> None:
    ahead = one.unjudged()
    assert max(ahead.get(REASONING, 0), 0) == 0, "reasoning never leaves ahead of its verdict"
    assert sum(max(0, size) for size in ahead.values()) <= one.pace.lead


@settings(max_examples=400, deadline=None)
@given(PACES, ITEMS, st.randoms(use_true_random=False))
def test_nothing_is_lost_nothing_is_out_of_order_and_nothing_leaves_early(
    pace: Pace, items: list[Texts], random: Any
) -> None:
    one = run(pace, items, random)
    assert one.passage.over
    assert one.left == list(range(len(items)))
    assert one.judged == one.text(list(range(len(items)))), "each character is new in one window"


@settings(max_examples=400, deadline=None)
@given(PACES, ITEMS, st.randoms(use_true_random=False))
def test_each_window_shows_what_came_before(pace: Pace, items: list[Texts], random: Any) -> None:
    one = run(pace, items, random)
    came = 0
    for window, fresh in zip(one.windows, one.fresh, strict=True):
        size, new = sum(map(len, window.parts.values())), sum(map(len, fresh.values()))
        assert all(fresh.values())
        assert window.text == JOINT.join(window.parts.values())
        assert window.start == came - (size - new)
        came += new
    if pace.window == inf:
        assert len(one.windows) <= 1


@settings(max_examples=400, deadline=None)
@given(st.integers(2, 12), st.text("ab", max_size=60), st.randoms(use_true_random=False))
def test_windows_are_as_long_as_they_are_said_to_be(window: int, text: str, random: Any) -> None:
    overlap = random.randrange(window)
    one = run(Pace(window, overlap), [[("content", char)] for char in text], random)
    assert all(len(each.text) == window for each in one.windows[:-1])
    # So whatever is no longer than the overlap is seen whole.
    for start in range(len(text) - overlap + 1):
        assert any(text[start : start + overlap] in each.text for each in one.windows) or not text


@given(PACES, ITEMS)
def test_crowded_only_while_a_verdict_is_to_come(pace: Pace, items: list[Texts]) -> None:
    """Else nothing would end it."""
    one = Run(pace, items)
    for number, texts in enumerate(one.items):
        one.passage.add(number, texts, last=False)
        one.step()
        assert not one.passage.crowded or one.asked
    while one.asked:
        one.verdict()
    assert not one.passage.crowded


def test_how_much_may_wait() -> None:
    one = Run(Pace(4), [[("content", "abcd")]] * 6)
    crowded = []
    for number in range(6):
        one.passage.add(number, one.items[number], last=False)
        one.step()
        crowded.append(one.passage.crowded)
    assert crowded == [False] * MOST_WINDOWS + [True] * (6 - MOST_WINDOWS)


def test_text_leaves_at_once_where_it_may() -> None:
    one = Run(Pace(4, 0, 8), [[("content", "abc")]] * 4)
    for number in range(4):
        one.passage.add(number, one.items[number], last=number == 3)
        one.step()
    assert one.left == [0, 1], "no more than eight characters without a verdict"
    one.verdict()
    assert one.left == [0, 1, 2], "the end waits for all verdicts"
    one.verdict()
    assert one.left == [0, 1, 2, 3]


def test_what_leaves_of_a_refused_choice() -> None:
    passage = Passage[str](Pace(4))
    passage.add("role", [], last=False)
    passage.add("text", [("content", "a")], last=False)
    passage.add("more", [], last=False)
    assert passage.released() == []
    assert passage.opening() == ["role"]


def test_a_choice_without_text_waits_for_nobody() -> None:
    passage = Passage[str](WHOLE)
    passage.add("role", [], last=False)
    assert passage.released() == []
    passage.add("end", [], last=True)
    assert passage.question() is None
    assert passage.released() == ["role", "end"]
    assert passage.over


def streaming(mode: str, window: int = 400, overlap: int = 100) -> Pace:
    return pace_of(Streaming.model_validate({"mode": mode, "window_chars": window, "overlap_chars": overlap}))


@pytest.mark.parametrize(
    ("paces", "strict"),
    [
        ([streaming("async"), streaming("chunked")], Pace(400, 100)),
        ([streaming("async"), streaming("full"), streaming("chunked")], WHOLE),
        ([streaming("async", 100, 60), streaming("async", 200, 20)], Pace(200, 60, 400)),
        ([streaming("chunked", 100, 90), streaming("chunked", 200, 0)], Pace(200, 90)),
        ([streaming("async")], Pace(400, 100, 800)),
    ],
)
def test_the_strictest_of_several_policies_wins(paces: list[Pace], strict: Pace) -> None:
    assert strictest(paces) == strict
    assert strictest(reversed(paces)) == strict
