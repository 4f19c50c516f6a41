"""The small parts of an expression: classes and escapes, and where one is in the text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.moderation.expressions import compiles
from server.moderation.regex_tree import Assertion, Chars, Node, Ranges

DIGITS: Ranges = ((0x30, 0x39),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACE: Ranges = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
CLASSES: dict[str, Ranges | None] = {"d": DIGITS, "w": WORD, "s": SPACE, "D": None, "W": None, "S": None}
ASSERTIONS = {"b": "\\b", "B": "\\B", "A": "\\A", "z": "\\z", "Z": "\\z"}
CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a"}
POSIX = frozenset({
    *("alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower"),
    *("print", "punct", "space", "upper", "word", "xdigit"),
})  # fmt: skip
HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
LAST = 0x10FFFF


class BadRegex(ValueError):
    """An expression that cannot be used; the text is the reason, one line, with the place where there is one."""


@dataclass(frozen=True, slots=True)
class Flags:
    i: bool = False
    m: bool = False
    s: bool = False

    def changed(self, flag: str, value: bool) -> Flags:
        match flag:
            case "i":
                return replace(self, i=value)
            case "m":
                return replace(self, m=value)
            case _:
                return replace(self, s=value)

    def plain(self, char: str) -> Node:
        """What a character means that stands outside of a class without a backslash."""
        match char:
            case ".":
                return Chars("(?s:.)" if self.s else "[^\\n]")
            case "^":
                return Assertion("(?m:^)" if self.m else "\\A")
            case "$":
                return Assertion("(?m:$)" if self.m else "\\z")
            case _:
                return self.one(char)

    def one(self, char: str) -> Chars:
        code = ord(char)
        return Chars(_code(code), ((code, code),), self.i and char.lower() != char.upper())


class Scanner:
    """An expression and the place in it; `error` names places as people count, from 1."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def done(self) -> bool:
        return self.at >= len(self.text)

    @property
    def next(self) -> str:
        return self.text[self.at]

    def pop(self) -> str:
        if self.done:
            raise self.error("the expression ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def take(self, text: str) -> bool:
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def until(self, end: str) -> str | None:
        """What stands before `end`, both taken; None, and nothing taken, if it does not come."""
        stop = self.text.find(end, self.at)
        if stop < 0:
            return None
        text = self.text[self.at : stop]
        self.at = stop + len(end)
        return text

    def name(self, at: int) -> None:
        name = self.until(">")
        if name is None or not name.isidentifier():
            raise self.error("the name of this group is not closed, or no name", at)

    def bounds(self, at: int | None = None) -> tuple[int, int, int | None] | None:
        """The end, the least and the most of `{m}`, `{m,}`, `{m,n}` if one stands here."""
        at = self.at if at is None else at
        stop = self.text.find("}", at, at + 16)
        if stop < 0 or self.text[at] != "{":
            return None
        low, comma, high = self.text[at + 1 : stop].partition(",")
        if not low and _is_number(high):
            raise self.error(f"write {{0,{high}}}: engines do not agree on {{,{high}}}", at)
        if not _is_number(low) or (high and not _is_number(high)):
            return None
        return stop + 1, int(low), int(high) if high else None if comma else int(low)

    def error(self, reason: str, at: int | None = None) -> BadRegex:
        return BadRegex(f"character {(self.at if at is None else at) + 1}: {reason}")


def read_escape(scanner: Scanner, flags: Flags) -> Node:
    """What follows a backslash outside of a class."""
    at = scanner.at - 1
    if not scanner.done and (assertion := ASSERTIONS.get(scanner.next)):
        scanner.at += 1
        return Assertion(assertion)
    if not scanner.done and scanner.next in "123456789gk":
        raise scanner.error("back-references are not supported", at)
    item = _escape(scanner, at)
    if isinstance(item, int):
        return flags.one(chr(item))
    text, ranges = item
    return Chars(text, ranges)


def read_class(scanner: Scanner, flags: Flags) -> Chars:
    """What follows a bracket, to the one that closes it."""
    at = scanner.at - 1
    negated = scanner.take("^")
    texts: list[str] = []
    ranges: list[tuple[int, int]] | None = []
    first = True
    while first or not scanner.take("]"):
        if scanner.done:
            raise scanner.error("the class that opens here is not closed", at)
        first = False
        low = _class_item(scanner)
        if isinstance(low, int):
            high = _range_end(scanner, low)
            texts.append(_code(low) if low == high else f"{_code(low)}-{_code(high)}")
            more: Ranges | None = ((low, high),)
        else:
            text, more = low
            texts.append(text)
        ranges = None if ranges is None or more is None else [*ranges, *more]
    known = None if negated or ranges is None else tuple(ranges)
    return Chars(f"[{'^' if negated else ''}{''.join(texts)}]", known, flags.i)


def _class_item(scanner: Scanner) -> int | tuple[str, Ranges | None]:
    at = scanner.at
    char = scanner.pop()
    if char == "\\":
        return 0x08 if scanner.take("b") else _escape(scanner, at)
    if char == "[" and not scanner.done and scanner.next == ":":
        name = (scanner.until(":]") or "").removeprefix(":")
        if name.removeprefix("^") not in POSIX:
            raise scanner.error(
                "no such class of characters; known are [:alpha:], [:digit:], [:punct:] and the like", at
            )
        return f"[:{name}:]", None
    return ord(char)


def _range_end(scanner: Scanner, low: int) -> int:
    """The end of a range, or `low` if this is none: a hyphen before the bracket is a hyphen."""
    at = scanner.at
    if not scanner.take("-"):
        return low
    if scanner.done or scanner.next == "]":
        scanner.at = at
        return low
    high = _class_item(scanner)
    if not isinstance(high, int) or high < low:
        raise scanner.error("a range goes from one character to a later one", at)
    return high


def _escape(scanner: Scanner, at: int) -> int | tuple[str, Ranges | None]:
    """One character (its code), or a class: its RE2 source and ranges."""
    char = scanner.pop()
    if char in CLASSES:
        return f"\\{char}", CLASSES[char]
    if char in CONTROLS:
        return ord(CONTROLS[char])
    if char in "xu":
        return _hexadecimal(scanner, 2 if char == "x" else 4, at)
    if char in "pP":
        return _property(scanner, char, at), None
    if char.isascii() and char.isalnum():
        raise scanner.error(f"\\{char} is not known", at)
    return ord(char)


def _hexadecimal(scanner: Scanner, digits: int, at: int) -> int:
    if scanner.take("{"):
        text = scanner.until("}") or ""
    else:
        text = scanner.text[scanner.at : scanner.at + digits]
        scanner.at += digits
    code = int(text, 16) if 0 < len(text) <= 6 and HEXADECIMAL.issuperset(text) else LAST + 1
    if code > LAST or 0xD800 <= code <= 0xDFFF:
        raise scanner.error("this is no code of a character", at)
    return code


def _property(scanner: Scanner, kind: str, at: int) -> str:
    name = (scanner.until("}") or "") if scanner.take("{") else scanner.pop()
    text = f"\\{kind}{{{name}}}"
    if not name.replace("_", "").isalpha() or not compiles(text):
        raise scanner.error("\\p wants the name of a class of Unicode, for instance \\p{Han}", at)
    return text


def _code(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and char.isalnum() else f"\\x{{{code:x}}}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
