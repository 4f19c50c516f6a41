"""The normal form of characters, one by one."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.moderation.normalise import Kind, has_bidi_override, normalise


def chars(text: str) -> str:
    return "".join(unit.char for unit, _ in normalise(text))


def plains(text: str) -> str:
    return "".join(unit.plain for unit, _ in normalise(text))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("ＡｂＣ１", "abc1"),
        ("𝐀𝓫𝕮𝟙", "abc1"),
        ("ⓐⒷ①⑩", "ab110"),
        ("ﬁﬀß", "fiffss"),
        ("éÅñẞ", "eanss"),
        ("аеорсух", "aeopcyx"),
        ("ΑΒΕ", "abe"),
        ("ᴘᴏʀɴ", "porn"),
        ("æœ", "aeoe"),
        ("٣४五", "34五"),
        ("發髮體國", "发发体国"),
        ("がガぱ한글", "がガぱ한글"),
        ("ＫＡＮＡ・ｶ", "kana カ"),
        ("🇦🅑🅲", "abc"),
        ("\U000e0061\U000e0031", "a1"),
        ("a\u200b\u0301\u00ad\ufe0f\u20dd\x00b\u3164", "ab"),
        ("İıI", "iii"),
        ("Word™", "word "),
    ],
)
def test_plain(text: str, plain: str) -> None:
    assert plains(text) == plain


def test_letters_that_stand_for_one_another_are_one() -> None:
    assert chars("iIl1|!") == "iiiiii"
    assert chars("oO0") == "ooo"
    assert chars("a4@ e3€ s5$ t7+ b8 g9 c¢") == "aaa eee sss ttt bb gg cc"
    assert plains("a4@ l1|") == "a4@ l1|"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("aЖ7αक", Kind.SPACED),
        ("炸あカ한ก", Kind.UNSPACED),
        ("@$!|+×€", Kind.SYMBOL),
        (" .-_*#~^·", Kind.GAP),
        ("😀•\ue000\u0378", Kind.GAP),
        (",;:?\"'/\\()[]{}<>&“”‘’«»「」，。、；：？—…\n\r\u2028", Kind.STOP),
    ],
)
def test_kinds(text: str, kind: Kind) -> None:
    assert {unit.kind for unit, _ in normalise(text)} == {kind}


def test_bidi_overrides_are_told_and_vanish() -> None:
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A)):
        assert has_bidi_override(f"a{chr(code)}b")
        assert chars(f"a{chr(code)}b") == "ab"
    assert not has_bidi_override("a\u200e\u200f\u061cb שלום 你好")


def test_every_character_has_a_normal_form() -> None:
    """Of what Unicode has assigned: letters and digits stay something, marks and formats nothing."""
    for code in range(0x20000):
        units = [unit for unit, _ in normalise(chr(code))]
        category = unicodedata.category(chr(code))
        if category in ("Mn", "Cf", "Me") and not 0xE0020 <= code <= 0xE007E:
            assert not units or unicodedata.decomposition(chr(code))
        if category in ("Lu", "Ll", "Lo", "Nd") and chr(code) not in "\u115f\u1160\u3164\uffa0":
            assert units
            assert all(unit.kind < Kind.SYMBOL for unit in units if unit.plain.isalnum())


def test_a_normal_form_is_its_own() -> None:
    """But for Chinese characters that were simplified twice in the course of time."""
    for code in (*range(0x2E80), *range(0xA000, 0x20000)):
        plain = plains(chr(code))
        assert chars(plain) == chars(chr(code)), hex(code)


@given(st.text(max_size=20), st.text(max_size=20))
def test_it_is_a_function_of_each_character(one: str, other: str) -> None:
    assert [*normalise(one), *normalise(other, len(one))] == list(normalise(one + other))
