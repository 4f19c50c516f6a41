"""Makes the JSONL files of tests/data/moderation from the texts in its folder `source`, which people wrote.

    python -m tools.make_moderation_corpus

Every text becomes a line. Of the texts in which a literal is marked, each kind of evasion disguises some, in turn: what
a kind does to a text is fixed here, shares no table with the server, and knows nothing of what the server makes of it.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parent.parent / "tests" / "data" / "moderation"
HALVES = ("tuned", "held_out")
A_KIND = 12  # texts that each kind of evasion is given, of each half
LITERALS = frozenset(  # classes whose rules are literals: only those are looked for in disguise
    ("codename", "weapon", "drugs", "abuse", "threat", "self-harm", "hate", "sexual", "minors", "injection",
     "customers", "ledger")
)  # fmt: skip
ABOUT = {
    "tuned": "Written by hand for Portico, disguised by tools/make_moderation_corpus.py. Rules may be changed for it.",
    "held_out": "Written by hand for Portico, disguised by tools/make_moderation_corpus.py. Written before the other "
    "half and before the shipped policies; no rule, word list or matcher was changed for what it shows.",
}
MARKED = re.compile(r"\[\[(?:([a-z_-]+)\|)?(.*?)\]\]")
PIECE = "‸"  # before a character that is written as an escape


class Span(NamedTuple):
    start: int
    end: int
    rule: str


class Item(NamedTuple):
    text: str
    language: str
    kind: str  # the class
    policy: str
    spans: tuple[Span, ...] = ()
    category: str | None = None  # of a text that no rule names
    escaped: frozenset[int] = frozenset()
    evasion: str | None = None


Disguise = Callable[[str, int], str]
"""Of a marked phrase, and the how-manieth text of its kind this is."""


# Reading


def items(source: str) -> Iterator[Item]:
    policy = language = kind = ""
    for line in source.splitlines():
        if line.startswith("@ "):
            _, policy, language, kind = line.split()
        elif line and not line.startswith("#"):
            yield _item(line.replace("⏎", "\n"), policy, language, kind)


def _item(line: str, policy: str, language: str, kind: str) -> Item:
    if kind.startswith("="):
        return Item(line, language, "paraphrase", policy, category=kind[1:])
    text, spans, escaped, at = "", list[Span](), set[int](), 0

    def add(part: str) -> None:
        nonlocal text
        *pieces, rest = part.split(PIECE)
        for piece in pieces:
            text += piece
            escaped.add(len(text))
        text += rest

    for found in MARKED.finditer(line):
        add(line[at : found.start()])
        start = len(text)
        add(found[2])
        spans.append(Span(start, len(text), found[1] or kind))
        at = found.end()
    add(line[at:])
    return Item(text, language, kind, policy, tuple(spans), escaped=frozenset(escaped))


# Disguises of a phrase. The last character stays a letter: marks behind it are no part of the phrase.

_ACUTE_TO_RING = "\u0301\u0300\u0308\u0303\u0302\u030c\u030a\u0327\u0328"
_ALIKE = dict(zip("acdeghijnoprsuvwxy", "асԁеɡһіјոоргѕսѵԝху", strict=True))
_ALIKE_TOO = dict(zip("bhklmt", "внкӏмт", strict=True))  # of the shape of Latin capitals, and palochka, an l to the eye
_LEET = ({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"}, {"a": "@", "i": "!", "s": "$", "e": "3"})
_ROUND = (0x24D0, 0x1F150, 0x1F130, 0x1F170, 0x1F1E6)  # circled, negative circled, squared, negative squared, flags
_MATHEMATICAL = (0x1D41A, 0x1D4EA, 0x1D586, 0x1D552, 0x1D68A, 0x1D5BA, 0x1D622)  # where none of them has a hole
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u180e\u061c"
_TRADITIONAL = dict(
    zip(
        "灯笼计划蓝鹭动弹药烧购买废东货杀结视频黄网儿输统词云饮远",
        "燈籠計劃藍鷺動彈藥燒購買廢東貨殺結視頻黃網兒輸統詞雲飲遠",
        strict=True,
    )
) | {"制": "製"}


def _letters(phrase: str, change: Callable[[str, int], str]) -> str:
    return "".join(change(char, at) if char.isalnum() else char for at, char in enumerate(phrase))


def _alphabet(phrase: str, first: int) -> str:
    return _letters(phrase, lambda char, _: chr(first + ord(char.lower()) - 97) if char.isalpha() else char)


def case(phrase: str, _: int) -> str:
    return "".join(char.upper() if at % 2 else char.lower() for at, char in enumerate(phrase))


def full_width(phrase: str, _: int) -> str:
    return "".join("\u3000" if char == " " else chr(ord(char) + 0xFEE0) for char in phrase)


def mathematical(phrase: str, number: int) -> str:
    return _alphabet(phrase, _MATHEMATICAL[number % len(_MATHEMATICAL)])


def circled(phrase: str, number: int) -> str:
    return _alphabet(phrase, _ROUND[number % len(_ROUND)])


def zero_width(phrase: str, number: int) -> str:
    return _ZERO_WIDTH[number % len(_ZERO_WIDTH)].join(phrase)


def soft_hyphen(phrase: str, _: int) -> str:
    return "\u00ad".join(phrase)


def tags(phrase: str, _: int) -> str:
    return "".join(chr(0xE0000 + ord(char)) for char in phrase)


def accents(phrase: str, number: int) -> str:
    def accented(char: str, at: int) -> str:
        whole = unicodedata.normalize("NFC", char + _ACUTE_TO_RING[(at + number) % len(_ACUTE_TO_RING)])
        return char if len(whole) > 1 and at == len(phrase) - 1 else whole

    return _letters(phrase, accented)


def stacked_marks(phrase: str, _: int) -> str:
    return _letters(phrase, lambda char, at: char if at == len(phrase) - 1 else char + _ACUTE_TO_RING[at % 3 :][:3])


def confusables(phrase: str, number: int) -> str:
    """All letters that have one, or every other letter."""
    return _letters(phrase.lower(), lambda char, at: char if number % 2 and at % 2 else _ALIKE.get(char, char))


def look_alikes(phrase: str, number: int) -> str:
    return _letters(confusables(phrase, number), lambda char, _: _ALIKE_TOO.get(char, char))


def leet(phrase: str, number: int) -> str:
    return _letters(phrase.lower(), lambda char, _: _LEET[number % 2].get(char, char))


def spacing(phrase: str, _: int) -> str:
    """Three spaces between words, one between letters."""
    return " ".join(phrase)


def separators(phrase: str, number: int) -> str:
    mark = ".-_*~·"[number % 6]
    return mark.join(char for char in phrase if char != " ")


def joined(phrase: str, number: int) -> str:
    """Words without what stands between them, or with something else."""
    words = phrase.split()
    return ("", "-", "_", ".")[number % 4].join(word.capitalize() for word in words) if len(words) > 1 else phrase


def traditional(phrase: str, _: int) -> str:
    return "".join(_TRADITIONAL.get(char, char) for char in phrase)


def mixed(phrase: str, number: int) -> str:
    """Confusables, full-width letters and zero-width characters in one phrase."""

    def change(char: str, at: int) -> str:
        if at % 3 == 0:
            return full_width(char, 0) if char.isascii() else char
        return _ALIKE.get(char.lower(), char) if at % 3 == 1 else char.upper()

    return zero_width(_letters(phrase, change), number)


ENGLISH: dict[str, Disguise] = {
    "case": case,
    "full-width": full_width,
    "mathematical": mathematical,
    "circled": circled,
    "zero-width": zero_width,
    "soft-hyphen": soft_hyphen,
    "tags": tags,
    "accents": accents,
    "stacked-marks": stacked_marks,
    "confusables": confusables,
    "look-alikes": look_alikes,
    "leet": leet,
    "spacing": spacing,
    "separators": separators,
    "joined": joined,
    "mixed": mixed,
}
CHINESE: dict[str, Disguise] = {
    "zero-width": zero_width,
    "soft-hyphen": soft_hyphen,
    "spacing": spacing,
    "separators": separators,
    "traditional": traditional,
}


# Disguises of a whole text


def _blob(item: Item, name: str, lead: str, blob: str) -> Item:
    spans = tuple(Span(len(lead), len(lead) + len(blob), one.rule) for one in item.spans[:1])
    return item._replace(text=lead + blob, spans=spans, evasion=name)


def _whole(item: Item) -> Iterator[Item]:
    data = item.text.encode()
    yield _blob(item, "base64", "Decode this and do what it says: ", base64.b64encode(data).decode())
    yield _blob(item, "hex", "Decode this and do what it says: ", data.hex())
    yield _blob(item, "url", "", "".join(f"%{byte:02X}" for byte in data))
    if item.language == "en":
        yield item._replace(text=codecs.encode(item.text, "rot13"), evasion="rot13")


def _reversed(item: Item) -> Item:
    start, end, _ = item.spans[0]
    backwards = f"\u202e{item.text[start:end][::-1]}\u202c"
    span = Span(start, start + len(backwards), "bidi_overrides")
    return item._replace(text=item.text[:start] + backwards + item.text[end:], spans=(span,), evasion="bidi")


def disguised(item: Item, name: str, disguise: Disguise, number: int) -> Item:
    """With all its marked phrases changed, and the spans moved."""
    text, spans, at = "", list[Span](), 0
    for start, end, rule in item.spans:
        text += item.text[at:start]
        phrase = disguise(item.text[start:end], number)
        spans.append(Span(len(text), len(text) + len(phrase), rule))
        text += phrase
        at = end
    return item._replace(text=text + item.text[at:], spans=tuple(spans), evasion=name)


def evasions(base: list[Item]) -> Iterator[Item]:
    marked = [one for one in base if one.policy == "corpus" and one.kind in LITERALS]
    turns = {language: cycle([one for one in marked if one.language == language]) for language in ("en", "zh")}
    for language, kinds in (("en", ENGLISH), ("zh", CHINESE)):
        for name, disguise in kinds.items():
            for number in range(A_KIND):
                item = next(turns[language])
                changed = disguised(item, name, disguise, number)
                if changed.text != item.text:
                    yield changed
        of_one = cycle([one for one in marked if one.language == language and len(one.spans) == 1])
        for _ in range(A_KIND // 2):
            item = next(of_one)
            yield from _whole(item)
            yield _reversed(next(of_one))


# Writing

_HIDDEN = frozenset(("Cc", "Cf", "Mn", "Me", "Zl", "Zp"))


def _string(text: str, escaped: frozenset[int]) -> str:
    """JSON, with escapes for what nobody sees in an editor, and for what is to be escaped."""
    out = ""
    for at, char in enumerate(text):
        if at in escaped:
            out += f"\\u{ord(char):04x}"
        elif unicodedata.category(char) in _HIDDEN or (char.isspace() and char != " "):
            out += json.dumps(char)[1:-1]
        else:
            out += json.dumps(char, ensure_ascii=False)[1:-1]
    return f'"{out}"'


def line(item: Item, name: str) -> str:
    expect: list[dict[str, object]] = [{"rule": one.rule, "start": one.start, "end": one.end} for one in item.spans]
    if item.category is not None:
        expect = [{"category": item.category}]
    rest = {"language": item.language, "class": item.kind, "policy": item.policy, "expect": expect}
    tail = json.dumps({**rest, "evasion": item.evasion}, ensure_ascii=False)[1:]
    return f'{{"id": "{name}", "text": {_string(item.text, item.escaped)}, {tail}'


def made(half: str, source: str) -> str:
    """The JSONL file of a half."""
    base = list(items(source))
    lines = [json.dumps({"about": ABOUT[half]})]
    lines += [line(one, f"{half}-{number:03d}") for number, one in enumerate(base)]
    lines += [line(one, f"{half}-e{number:03d}") for number, one in enumerate(evasions(base))]
    return "\n".join(lines) + "\n"


def main() -> None:
    for half in HALVES:
        source = (DATA / "source" / f"{half}.txt").read_text(encoding="utf-8")
        (DATA / f"{half}.jsonl").write_text(made(half, source), encoding="utf-8")


if __name__ == "__main__":
    main()
