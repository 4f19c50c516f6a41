"""The chain of thought that stands in the content."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.makes.inline import Piece, Splitter
from server.engines.makes.make import Inline

BOTH: tuple[Inline, ...] = ("think", "harmony")
CALL = '{"city":"Paris"}'
FORMS = {
    "plain": ("Paris is a city.", {"content": "Paris is a city."}),
    "a word of the format": ("analysis of it, and final words", {"content": "analysis of it, and final words"}),
    "think": ("<think>\nHm < 5.\n</think>\n\nParis.", {"reasoning": "Hm < 5.", "content": "Paris."}),
    "think, cut": ("<think>Hm </th", {"reasoning": "Hm </th"}),
    "think, later": ("So <think>x</think>", {"content": "So <think>x</think>"}),
    "bare": ("analysisThe user.assistantfinalParis.", {"reasoning": "The user.", "content": "Paris."}),
    "bare, cut": ("analysisThe user.assistantfin", {"reasoning": "The user.assistantfin"}),
    "bare, no thought": ("final巴黎", {"content": "巴黎"}),
    "whole": (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Paris.<|return|>",
        {"reasoning": "hm", "content": "Paris."},
    ),
    "a call": (
        f"analysisHm.assistantcommentary to=functions.get_weather json{CALL}",
        {"reasoning": "Hm.", "name": "get_weather", "arguments": CALL},
    ),
    "a whole call": (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant to=functions.f<|channel|>commentary "
        f"<|constrain|>json<|message|>{CALL}<|call|>",
        {"reasoning": "Hm.", "name": "f", "arguments": CALL},
    ),
    "a call at once": (f"commentary to=functions.f json{CALL}", {"content": f"commentary to=functions.f json{CALL}"}),
    "nothing": ("", {}),
}


def joined(pieces: list[Piece]) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in pieces:
        found[piece.channel] = found.get(piece.channel, "") + piece.text
    return found


def split(parts: list[str], forms: tuple[Inline, ...] = BOTH) -> dict[str, str]:
    splitter = Splitter(forms)
    return joined([piece for part in parts for piece in splitter.feed(part)] + splitter.finish())


@pytest.mark.parametrize(("text", "channels"), FORMS.values(), ids=list(FORMS))
def test_channels(text: str, channels: dict[str, str]) -> None:
    assert split([text]) == channels
    assert split(list(text)) == channels


@given(st.sampled_from(list(FORMS.values())), st.lists(st.integers(0, 120), max_size=8))
def test_it_does_not_matter_how_the_text_is_cut(form: tuple[str, dict[str, str]], cuts: list[int]) -> None:
    text, channels = form
    at = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    assert split([text[start:end] for start, end in pairwise(at)]) == channels


@given(st.text(alphabet="analysisfind<>|assistant commentary to=functions.x{}", max_size=60))
def test_no_letter_of_what_is_not_the_format_is_lost(text: str) -> None:
    if text.lstrip().startswith(("<", "analysis", "final", "assistant")):
        return
    assert split(list(text)) == ({"content": text} if text else {})


def test_a_make_that_has_no_such_form_is_left_alone() -> None:
    for text, _ in FORMS.values():
        assert split([text], ()) == ({"content": text} if text else {})
    assert split(["<|channel|>analysis<|message|>x"], ("think",)) == {"content": "<|channel|>analysis<|message|>x"}


def test_plain_text_is_not_held() -> None:
    splitter = Splitter(BOTH)
    assert splitter.feed("Hello") == [Piece("content", "Hello")]
    assert splitter.feed(" <") == [Piece("content", " <")]
