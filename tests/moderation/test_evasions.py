"""Every way of hiding a word that is known by name, with the place in the original that is told."""

from __future__ import annotations

import unicodedata

import pytest

from server.moderation.forms import Literal
from server.moderation.literals import Literals
from server.moderation.matches import Found

NAMES = ["bomb", "kill", "shit", "asshole", "project lantern", "c4", "4chan", "1000", "炸弹", "发票", "灯笼计划"]
MATCHER = Literals(NAMES)


def found(text: str) -> list[tuple[str, str]]:
    """What was found and for which literal, in the parts of a stream as in the whole text."""
    whole = MATCHER.scan(text)
    stream = MATCHER.stream()
    told: list[Found] = []
    for char in text:
        told += stream.feed(char)
    assert sorted(told + stream.finish()) == whole
    return [(text[one.start : one.end], NAMES[one.pattern]) for one in whole]


def shifted(text: str, first: str) -> str:
    return "".join(chr(ord(first) + ord(char) - ord("a")) for char in text)


HIDDEN = {
    "case": "bOmB",
    "full-width": "ｂｏＭｂ",
    "mathematical bold": shifted("bomb", "𝐚"),
    "mathematical fraktur": shifted("bomb", "𝖆"),
    "monospace": shifted("bomb", "𝚊"),
    "circled": shifted("bomb", "ⓐ"),
    "negative circled": shifted("bomb", "🅐"),
    "negative squared": shifted("bomb", "🅰"),
    "regional indicators": shifted("bomb", "🇦"),
    "parenthesised": "⒝⒪⒨⒝",
    "small capitals": "ʙᴏᴍʙ",
    "superscript": "ᵇᵒᵐᵇ",
    "zero-width space": "b\u200bo\u200bm\u200bb",
    "zero-width joiner": "bo\u200d\u200dmb",
    "word joiner and byte order mark": "b\u2060o\ufeffmb",
    "soft hyphen": "bo\u00admb",
    "variation selectors": "b\ufe0fo\U000e0101mb",
    "tags": "".join(chr(0xE0000 + ord(char)) for char in "bomb"),
    "control characters": "b\x00o\x08mb",
    "Hangul filler": "b\u3164omb",
    "bidi marks": "b\u200eo\u202emb",
    "accents": "bömb",
    "accents, decomposed": "bo\u0308m\u0301b",
    "many marks": "b" + "\u0336\u0301" * 30 + "omb",
    "enclosing marks": "b\u20ddo\u20ddmb",
    "stroke": "bømƀ",
    "Cyrillic": "Воmb",
    "Greek": "bοmb",
    "Cherokee": "Ᏼomb",
    "leet digits": "b0m8",
    "spaces": "b o m b",
    "full stops": "b.o.m.b",
    "hyphens and spaces": "b-o m b",
    "three separators": "b - o - m - b",
    "underscores": "b_o_m_b",
    "lines": "b\no\nm\nb",
    "emoji between": "b😀o😀m😀b",
    "symbols that are letters elsewhere": "b|o|m|b",
    "exclamation marks between": "b!o!m!b",
    "spaces and full-width": "ｂ　ｏ　ｍ　ｂ",
    "spaces and zero-width": "b \u200bo \u200bm \u200bb",
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN.keys())
def test_hidden(hidden: str) -> None:
    for before, behind in (("", ""), ("a ", " here"), ("“", "”"), ("制作", "的"), ("x. ", "!"), ("\u0301", "\u200b")):
        edges = hidden.strip("()")
        assert found(before + hidden + behind) == [(edges, "bomb")]


@pytest.mark.parametrize(
    ("text", "match", "name"),
    [
        ("k1ll", "k1ll", "kill"),
        ("kiIl", "kiIl", "kill"),
        ("KlLL", "KlLL", "kill"),
        ("k|ll", "k|ll", "kill"),
        ("кill", "кill", "kill"),
        ("вомв", "", ""),  # of four letters a Russian word can be this by chance
        ("вοмв", "вοмв", "bomb"),  # the o is Greek
        ("вoмв", "вoмв", "bomb"),  # the o is Latin
        ("рrојест lаnтеrn", "рrојест lаnтеrn", "project lantern"),
        ("ѕнiт", "ѕнiт", "shit"),
        ("Кill", "Кill", "kill"),
        ("kіӀӏ", "kіӀӏ", "kill"),
        ("sh!t!", "sh!t", "shit"),
        ("$hit.", "$hit", "shit"),
        ("!sh!t!", "sh!t", "shit"),
        ("$$hit", "$hit", "shit"),
        ("5h1t", "5h1t", "shit"),
        ("$ h i t", "$ h i t", "shit"),
        ("@$$hole", "@$$hole", "asshole"),
        ("4$$h0l3", "4$$h0l3", "asshole"),
        ("a𝓼𝓼hole", "a𝓼𝓼hole", "asshole"),
        ("aßhole", "aßhole", "asshole"),
        ("Project-Lantern", "Project-Lantern", "project lantern"),
        ("project \n lantern", "project \n lantern", "project lantern"),
        ("projectLantern", "projectLantern", "project lantern"),
        ("pr0ject|lantern", "pr0ject|lantern", "project lantern"),
        ("p.r.o.j.e.c.t.l.a.n.t.e.r.n", "p.r.o.j.e.c.t.l.a.n.t.e.r.n", "project lantern"),
        ("Ｃ４", "Ｃ４", "c4"),
        ("c④", "c④", "c4"),
        ("٤chan", "٤chan", "4chan"),
        ("１０００", "１０００", "1000"),
        ("怎样制作炸 弹的", "炸 弹", "炸弹"),
        ("炸\u3000弹", "炸\u3000弹", "炸弹"),
        ("炸-弹", "炸-弹", "炸弹"),
        ("炸.弹", "炸.弹", "炸弹"),
        ("炸💣弹", "炸💣弹", "炸弹"),
        ("炸\u200b彈", "炸\u200b彈", "炸弹"),
        ("炸彈", "炸彈", "炸弹"),
        ("發票", "發票", "发票"),
        ("代开髮票", "髮票", "发票"),
        ("燈籠計劃", "燈籠計劃", "灯笼计划"),
        ("燈 籠 計 劃", "燈 籠 計 劃", "灯笼计划"),
        ("灯，笼，计，划", "灯，笼，计，划", "灯笼计划"),
        ("看，灯笼 计划书", "灯笼 计划", "灯笼计划"),
    ],
)
def test_single(text: str, match: str, name: str) -> None:
    assert found(f"then {text} so") == ([(match, name)] if match else [])


@pytest.mark.parametrize(
    "text",
    [
        "bombs",  # another word
        "abomb",
        "b o m bs",  # spelled out, and then not
        "ab o m b",
        "bo mb",  # a word cut once is how innocent words stand beside each other
        "b omb",
        "bo-mb",
        "b    o    m    b",  # more than three separators
        "CA",  # a digit of the literal is that digit
        "c 4",  # too short to be spelled out
        "achan",
        "looo",
        "1OOO",
        "l000",
        "10000",
        "1 0 0 0",  # digits alone are not spelled out
        "5417",  # no letter of it is one
        "kiII KIIL",  # a capital I is an l among small letters, not among capitals
        "k!l!",
        "kil!",
        "+kill+ed",
        "project    lantern",
        "projects lantern",
        "project lanterns",
        "炸，弹",  # a comma between
        "炸\n弹",
        "轰炸。弹劾",
        "炸\u3000\u3000\u3000\u3000弹",
    ],
)
def test_not_that(text: str) -> None:
    expected = [("kiII", "kill")] if text.startswith("kiII") else [("kill", "kill")] if text == "+kill+ed" else []
    assert found(f"then {text} so") == expected


def test_a_literal_without_boundaries_is_found_within_words() -> None:
    matcher = Literals([Literal("fuck", boundaries=False), Literal("ass", boundaries=False)])
    text = "Motherfucker, classes; f u c k, has s"
    assert [(text[a:b], number) for a, b, number in matcher.scan(text)] == [("fuck", 0), ("ass", 1), ("f u c k", 0)]


def test_symbols_of_a_literal() -> None:
    names = ["a$$", "wow!", "C++", "AT&T", "user@host", "!bang"]
    matcher = Literals(names)
    for text, name in (
        ("a$$", "a$$"),
        ("ass", "a$$"),
        ("wow!", "wow!"),
        ("c++", "C++"),
        ("at&t", "AT&T"),
        ("AT T", "AT&T"),
        ("ATT", "AT&T"),
        ("user@host", "user@host"),
        ("bang", "!bang"),
    ):
        assert [names[one.pattern] for one in matcher.scan(f"x {text}, y")] == [name]
    for text in ("wow", "c", "a", "user host"):
        assert matcher.scan(f"x {text}, y") == []


def test_a_literal_without_letters_is_refused_by_number() -> None:
    for bad in ("", " ", "😀", "$$$", "\u200b"):
        with pytest.raises(ValueError, match="literal 1 has no letter and no digit"):
            Literals(["good", bad])


def test_no_literals_find_nothing() -> None:
    matcher = Literals([])
    assert matcher.scan("anything at all, $h!t") == []
    stream = matcher.stream()
    assert stream.feed("anything $h!t") == []
    assert stream.hold_from == len("anything $h!t")
    assert stream.finish() == []


def test_what_is_held_and_for_how_long() -> None:
    """`a ` could begin `a s s h o l e`, and a match is held until its word is known to end."""
    stream = MATCHER.stream()
    held: list[str] = []
    text = "a bombard, bomb\u0301. 炸x"
    for size, char in enumerate(text, 1):
        stream.feed(char)
        held.append(text[stream.hold_from : size])
    assert held == [
        *("a", "a ", "b", "bo", "bom", "bomb", "", "", "", "", ""),
        *("b", "bo", "bom", "bomb", "bomb\u0301", "", "", "炸", ""),
    ]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_normal_forms_of_unicode_are_one(form: str) -> None:
    names = ["crème brûlée", "straße", "Ångström"]
    matcher = Literals(names)
    for number, name in enumerate(names):
        text = unicodedata.normalize(form, name)  # type: ignore[arg-type]
        assert matcher.scan(text) == [(0, len(text), number)]


@pytest.mark.parametrize(
    "text", [" ", ".", "!", "$", "炸", "炸，", "b o ", "bo", "$h!", "\ue000", "\ufdfa", "project lanter "]
)
def test_long_hostile_texts_do_not_pile_up(text: str) -> None:
    """Whatever came before, no more than one form's length is held: what vanishes apart."""
    stream = MATCHER.stream()
    for _ in range(20):
        assert stream.feed(text * 2000) == []
    assert 20 * len(text * 2000) - stream.hold_from <= 60
