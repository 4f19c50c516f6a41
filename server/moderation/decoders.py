"""Texts within a text: base64, hexadecimal, percent-encoding, rot13; and encoded again, to a bounded depth.

Only what is plausible as text comes out: valid UTF-8, hardly anything that cannot be printed. Linear in the text: each
run of characters that could be of a kind is decoded once, and nothing comes out longer than it went in.

Base64 in lines is decoded line by line and, as lines end where they like, whole. Not found: a run that something in the
same alphabet stands right before (a path before base64).
"""

from __future__ import annotations

import codecs
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

Kind = Literal["base64", "hex", "url", "rot13"]
KINDS: tuple[Kind, ...] = ("base64", "hex", "url", "rot13")
MOST_DEPTH = 3
MOST_CHARACTERS = 1_000_000  # of a text, from its beginning; the rest is not decoded
PRINTABLE = 0.95  # of what comes out, at least
WORD = 24  # letters; a longer run is not taken for a word of the language

# Possessive repetitions of one class: nothing is tried twice.
_BASE64 = re.compile(r"([A-Za-z0-9+/_-]{8,}+)={0,2}+")
_LINES = re.compile(
    r"(?<![A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]++[ \t]*+\r?\n[ \t]*+)+[A-Za-z0-9+/_-]++={0,2}+"
)  # begins at no second place of a run, so that a long one is gone through once
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x|\\x)?[0-9A-Fa-f]{2}(?:(?:\\x|[ :,])?[0-9A-Fa-f]{2}){3,}+")
_NOT_HEX = re.compile(r"^0x|[^0-9A-Fa-f]+")
_TOKEN = re.compile(r"[!#-;=?-~]++")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_URL_SAFE = str.maketrans("-_", "+/")
_WHITE = str.maketrans("", "", "\t\n\r")


class Decoded(NamedTuple):
    """What a run of the original text says, and where that run is, in code points."""

    text: str
    start: int
    end: int


def decoded(text: str, kinds: Collection[Kind] = KINDS, depth: int = MOST_DEPTH) -> Iterator[Decoded]:
    """Everything that can be decoded; what is encoded twice comes once for each layer, from the same place.

    `depth` is the number of layers, at most MOST_DEPTH. rot13 is of everything that a layer holds, and is taken once:
    twice is the text again.
    """
    yield from _layers(text[:MOST_CHARACTERS], frozenset(kinds), min(depth, MOST_DEPTH), None)


def _layers(text: str, kinds: frozenset[Kind], depth: int, place: tuple[int, int] | None) -> Iterator[Decoded]:
    if depth <= 0:
        return
    for kind in KINDS:
        if kind in kinds:
            inner = kinds - {"rot13"} if kind == "rot13" else kinds
            for plain, start, end in _DECODERS[kind](text):
                at = place or (start, end)
                yield Decoded(plain, *at)
                yield from _layers(plain, inner, depth - 1, at)


def _base64(text: str) -> Iterator[Decoded]:
    """The standard alphabet or the one for URLs (RFC 4648), with padding or without."""
    for found in _BASE64.finditer(text):
        if not _is_word(found[1]):
            yield from _plausible(_from_base64(found[1]), *found.span())
    for found in _LINES.finditer(text):
        yield from _block(found[0].rstrip("=").split(), *found.span())


def _block(lines: list[str], start: int, end: int) -> Iterator[Decoded]:
    """Of lines as one, of which the first and the last may be words of the text around."""
    for first, last in ((0, 0), (0, 1), (1, 0), (1, 1)):
        if len(kept := lines[first : len(lines) - last]) > 1:
            yield from _plausible(_from_base64("".join(kept)), start, end)


def _from_base64(run: str) -> bytes:
    whole = run[: len(run) - (len(run) % 4 == 1)].translate(_URL_SAFE)
    return b64decode(whole + "=" * (-len(whole) % 4))


def _hex(text: str) -> Iterator[Decoded]:
    for found in _HEX.finditer(text):
        yield from _plausible(bytes.fromhex(_NOT_HEX.sub("", found[0])), *found.span())


def _url(text: str) -> Iterator[Decoded]:
    if "%" in text:
        for found in _TOKEN.finditer(text):
            if _ESCAPE.search(found[0]):
                yield from _plausible(unquote_to_bytes(found[0]), *found.span())


def _rot13(text: str) -> Iterator[Decoded]:
    turned = codecs.encode(text, "rot13")
    if turned != text:
        yield Decoded(turned, 0, len(text))


_DECODERS: dict[Kind, Callable[[str], Iterator[Decoded]]] = {
    "base64": _base64,
    "hex": _hex,
    "url": _url,
    "rot13": _rot13,
}


def _is_word(run: str) -> bool:
    """Letters in one case but for the first. Base64 nearly always mixes them, and words would be most of the work."""
    return len(run) < WORD and run.isalpha() and (run[1:].islower() or run.isupper())


def _plausible(data: bytes, start: int, end: int) -> Iterator[Decoded]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    shown = text.translate(_WHITE)
    if shown and (shown.isprintable() or sum(map(str.isprintable, shown)) >= PRINTABLE * len(shown)):
        yield Decoded(text, start, end)
