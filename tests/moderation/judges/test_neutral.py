from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_harmony import HarmonyEncodingName, load_harmony_encoding

from server.moderation.judges.neutral import neutralised

PIECES = (
    "<",
    "|",
    ">",
    "<|",
    "|>",
    "end",
    "<|end|>",
    "/",
    "think",
    "</think>",
    "BEGIN ",
    " ",
    "é",
    "\ud800",
    "<|im_end|>",
)
HARMONY = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("nothing to see", "nothing to see"),
        ("a < b | c > d", "a < b | c > d"),
        ("<|start|>system", "< |start| >system"),
        ("<|>", "< | >"),
        ("<<||>>", "<< || >>"),
        ("</think>", "< /think>"),
        ("<Think>", "< Think>"),
        ("<thinking>", "<thinking>"),
        ("<END CONVERSATION>", "< END CONVERSATION>"),
        ("\ud800 alone", "? alone"),
    ],
)
def test_examples(text: str, sent: str) -> None:
    assert neutralised(text) == sent


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_no_control_token_is_left_and_nothing_else_is_lost(text: str) -> None:
    sent = neutralised(text)
    tokens = HARMONY.encode(sent, allowed_special="all")
    assert not [token for token in tokens if HARMONY.is_special_token(token)]
    assert "<|" not in sent
    assert "|>" not in sent
    assert sent.replace(" ", "") == text.replace(" ", "").replace("\ud800", "?")
    assert neutralised(sent) == sent
