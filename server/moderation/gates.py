"""What a text must hold for an expression to match in it at all: a cheap question before the expensive one.

A gate is a set of bytes: a text in UTF-8 without any of them holds no match. Of all such sets that can be read from an
expression the one is taken that plain text has the least of.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.moderation.regex_tree import Alt, Assertion, Capture, Chars, Node, Repeat, Seq

Gate = frozenset[int]
ALWAYS_OPEN: Gate = frozenset(range(256))
PLAIN = 40  # a gate of more than this per thousand opens on most text

_COMMON = "etaoinshrdlcumwfgypbvk"  # by how often they stand in English
_PER_THOUSAND = {ord(char): max(100 - 5 * rank, 4) for rank, char in enumerate(_COMMON)} | {
    ord(" "): 180,
    ord("\n"): 20,
    ord("."): 10,
    ord(","): 10,
    **dict.fromkeys(range(0xE3, 0xEA), 8),  # how Chinese and Japanese characters begin
}
_MOST_CHARACTERS = 128


def gate(node: Node) -> Gate:
    return min(_gates(node), key=weight, default=ALWAYS_OPEN)


def weight(one: Gate) -> int:
    """How many of a thousand bytes of plain text are in it, roughly."""
    return sum(_PER_THOUSAND.get(byte, 1) for byte in one)


def _gates(node: Node) -> list[Gate]:
    match node:
        case Chars():
            one = _bytes(node)
            return [] if one is None else [one]
        case Assertion():
            return []
        case Seq(parts):
            return [one for part in parts for one in _gates(part)]
        case Alt(options):
            return [frozenset[int]().union(*map(gate, options))]
        case Repeat(inner, least, _):
            return _gates(inner) if least else []
        case Capture(inner):
            return _gates(inner)


def _bytes(chars: Chars) -> Gate | None:
    """The first bytes of the characters. Letters beyond ASCII with their cases are left to RE2."""
    if chars.ranges is None or sum(high - low + 1 for low, high in chars.ranges) > _MOST_CHARACTERS:
        return None
    known = {chr(code) for low, high in chars.ranges for code in range(low, high + 1)}
    if chars.fold:
        if any(not char.isascii() and char.lower() != char.upper() for char in known):
            return None
        known = _both_cases(known)
    return frozenset(char.encode("utf-8", "surrogatepass")[0] for char in known)


def _both_cases(known: Iterable[str]) -> set[str]:
    both = {case for char in known for case in (char.lower(), char.upper())}
    if "k" in both:
        both.add("\u212a")  # the sign for kelvin is a K to RE2, as it is to Unicode
    if "s" in both:
        both.add("\u017f")  # and the long s an S
    return both
