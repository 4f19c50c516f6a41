"""Texts within a text: what comes out, from where, how deep, and that it ends."""

from __future__ import annotations

import codecs
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.moderation.decoders import Decoded, Kind, decoded

HIDDEN = "how to build it? 灯笼>>"


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


ENCODERS = {
    "base64": base64,
    "base64 without padding": lambda text: base64(text).rstrip("="),
    "base64 for URLs": lambda text: urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX after 0x": lambda text: "0x" + text.encode().hex().upper(),
    "hex by bytes": lambda text: text.encode().hex(" "),
    "escapes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "url": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_found_where_it_stands(name: str) -> None:
    run = ENCODERS[name](HIDDEN)
    text = f"请看：{run} 😀"
    assert Decoded(HIDDEN, 3, 3 + len(run)) in decoded(text, ["base64", "hex", "url"], 1)


def test_percent_encoding_within_a_word_and_rot13_of_the_whole() -> None:
    text = f"see x?q={quote(HIDDEN)} now"
    assert list(decoded(text, ["url"])) == [Decoded(f"x?q={HIDDEN}", 4, len(text) - 4)]
    assert list(decoded("uryyb, 灯!", ["rot13"])) == [Decoded("hello, 灯!", 0, 9)]
    assert list(decoded("灯 12", ["rot13"])) == []


def test_depth() -> None:
    layers = [HIDDEN]
    for encode in (base64, lambda text: text.encode().hex(), base64, base64):
        layers.append(encode(layers[-1]))
    text = f"a {layers[-1]} b"
    where = (2, len(text) - 2)
    for depth in (0, 1, 2, 3, 9):
        found = list(decoded(text, ["base64", "hex"], depth))
        assert found == [Decoded(layer, *where) for layer in layers[-2 : -2 - min(depth, 3) : -1]]


def test_rot13_within_and_around() -> None:
    inside = base64(codecs.encode(HIDDEN, "rot13"))
    assert Decoded(HIDDEN, 0, len(inside)) in decoded(inside + " ", depth=2)
    outside = codecs.encode(base64(HIDDEN), "rot13")
    assert Decoded(HIDDEN, 0, len(outside)) in decoded(outside, depth=2)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("An understanding of international cooperation", ["base64"]),
        ("INTERNATIONALIZATION", ["base64"]),
        ("9fceb02d0ae598e95dc970b74767f19372d61af8", ["hex", "base64"]),
        ("123e4567-e89b-12d3-a456-426614174000", ["hex", "base64"]),
        ("100% of it, 5%zz, 50 % off", ["url"]),
        ("%ff%fe%00", ["url"]),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAA", ["base64"]),
        (base64("\x01\x02\x03\x04\x05\x06ab"), ["base64"]),
        (base64(HIDDEN), ["hex", "url"]),
        ("", ["base64", "hex", "url", "rot13"]),
    ],
)
def test_nothing_plausible(text: str, kinds: list[Kind]) -> None:
    assert list(decoded(text, kinds)) == []


@given(st.text(), st.integers(0, 4))
def test_places_are_in_the_text_and_nothing_grows(text: str, depth: int) -> None:
    for one in decoded(text, depth=depth):
        assert 0 <= one.start < one.end <= len(text)
        assert 0 < len(one.text) <= one.end - one.start


@given(st.text(st.characters(exclude_categories=["C"]), min_size=12), st.sampled_from(["base64", "hex"]))
def test_what_was_encoded_comes_back(hidden: str, name: Kind) -> None:
    run = ENCODERS[name](hidden)
    shown = [one.text for one in decoded(f" {run} ", [name], 1)]
    assert hidden in shown or run.isalpha() or not hidden.isprintable()


@pytest.mark.parametrize("width", [1, 7, 10, 64, 76])
@pytest.mark.parametrize(("before", "behind"), [("", ""), ("see\n", ""), ("see ", "\nplease"), ("x, ", "\n\n")])
def test_base64_in_lines(width: int, before: str, behind: str) -> None:
    """Line by line it would be cut within a letter, or within a word."""
    run = base64(HIDDEN * 5)
    text = before + "\r\n".join(run[at : at + width] for at in range(0, len(run), width)) + behind
    assert HIDDEN * 5 in [one.text for one in decoded(text, ["base64"], 1)]


@pytest.mark.parametrize("unit", ["A\n", "AAAA\n", "A" * 70 + "\r\n", "A \n", "\n", "A\n="])
def test_a_million_characters_in_lines(unit: str) -> None:
    assert len(list(decoded((unit * 1_000_000)[:1_000_000], ["base64"], 1))) == 0


@pytest.mark.parametrize(("unit", "most"), [("A", 1), ("ab1", 1), ("%41", 2), ("61 ", 2), ("\\x41", 3), ("a/-_", 1)])
def test_a_million_characters_of(unit: str, most: int) -> None:
    found = list(decoded((unit * 1_000_000)[:1_000_000]))
    assert len(found) <= most
    assert sum(len(one.text) for one in found) <= 2_000_000


def test_not_beyond_the_first_million() -> None:
    run = base64(HIDDEN)
    assert list(decoded(" " * (1_000_000 - len(run)) + run, ["base64"], 1)) == [
        Decoded(HIDDEN, 1_000_000 - len(run), 10**6)
    ]
    assert list(decoded(" " * 1_000_000 + run, ["base64"])) == []
