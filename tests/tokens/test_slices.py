"""Slices of a text have the tokens of the whole."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_harmony import HarmonyEncodingName, load_harmony_encoding

from server.tokens import slices as module
from server.tokens.slices import LONGEST, Slice, slices
from tests.tokens.chats import WORDS

ENCODING = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
mixed = st.lists(st.sampled_from(WORDS) | st.characters(codec="utf-8"), max_size=60).map("".join)


def tokens(text: str) -> list[int]:
    return ENCODING.encode(text, disallowed_special=())


def joined(found: list[Slice]) -> list[str]:
    """Slices, with those of one stretch that is not encoded put together: there is no cut in it."""
    texts: list[str] = []
    for before, one in itertools.pairwise([Slice("", encodable=True), *found]):
        if before.encodable or one.encodable:
            texts.append(one.text)
        else:
            texts[-1] += one.text
    return texts


@given(mixed)
def test_slices_are_encoded_as_the_whole(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST", 8)
        patch.setattr(module, "WINDOW", 5)
        found = list(slices(text, 6))
    assert "".join(one.text for one in found) == text
    assert [token for one in joined(found) for token in tokens(one)] == tokens(text)


def test_around_every_pair_of_characters() -> None:
    """A cut between two characters splits no token, whatever stands around them."""
    signs = [chr(code) for code in range(0x80)] + list("éſÀǅʰ中ก\u0301\u00a0\u2028\u200b，。…—“’½²Ⅷ٣😀")
    for before, after in itertools.product(signs, signs):
        text = f"a{before}{after}a b"
        if module._CUT.match(text, 2):  # pyright: ignore[reportPrivateUsage]
            assert tokens(text[:2]) + tokens(text[2:]) == tokens(text), (before, after)


@pytest.mark.parametrize(
    "text", ["The quick brown fox, aged 17, jumps.\n" * 900, "今天天气很好，我们去公园散步吧。" * 900]
)
def test_long_prose_is_encoded_in_slices_of_the_size_asked_for(text: str) -> None:
    found = list(slices(text, 4096))
    assert all(one.encodable for one in found)
    assert len(found) >= len(text) // 4096
    assert max(len(one.text) for one in found) <= 4096 + LONGEST
    assert sum(len(tokens(one.text)) for one in found) == len(tokens(text))


@pytest.mark.parametrize("sign", ["a", " ", "=", "\n", "1", "中", "😀", "\u200b"])
def test_a_stretch_without_end_is_not_encoded(sign: str) -> None:
    found = list(slices(f"before, {sign * 50_000} b after", 4096))
    assert "".join(one.text for one in found) == f"before, {sign * 50_000} b after"
    assert max(len(one.text) for one in found if one.encodable) <= 4096 + LONGEST
    assert sum(len(one.text) for one in found if not one.encodable) >= 48_000


def test_short_text_is_one_slice() -> None:
    assert [one.text for one in slices("x" * LONGEST, 10)] == ["x" * LONGEST]
    assert list(slices("", 10)) == []
