"""What a text must hold for an expression to match in it at all: cheap questions before the expensive one.

A gate is a set of bytes: a text in UTF-8 without any of them holds no match. Of all such sets that can be read from an
expression the one is taken that plain text has the least of. Needles are the same with words, without regard to case:
long texts hold every byte, but seldom one of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from server.moderation.regex_tree import Alt, Assertion, Capture, Chars, Node, Repeat, Seq

Gate = frozenset[int]
KELVIN, LONG_S = "\u212a".encode(), "\u017f".encode()
ALWAYS_OPEN: Gate = frozenset(range(256))
PLAIN = 150  # a gate of more than this per thousand is no use, not even on a few words

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


def needles(node: Node) -> tuple[bytes, ...]:
    """None at all if all that are known are so short that most text has them. To be sought in a text that is folded."""
    return max((some for some in _needles(node) if all(map(_seldom, some))), key=_shortest, default=())


def _seldom(needle: bytes) -> bool:
    return len(needle) >= 3 or any(_PER_THOUSAND.get(byte, 1) <= 1 for byte in needle)


def folded(data: bytes) -> bytes:
    """Letters of ASCII in lower case, and those two beyond it that RE2, like Unicode, takes for a k and an s."""
    lowered = data.lower()
    if KELVIN in lowered or LONG_S in lowered:
        return lowered.replace(KELVIN, b"k").replace(LONG_S, b"s")
    return lowered


def _needles(node: Node) -> list[tuple[bytes, ...]]:
    found: list[tuple[bytes, ...]] = []
    run = b""
    for part in _flat(node):
        more = _letter(part) if isinstance(part, Chars) else b""
        if not more and run:
            found.append((run,))
        run = run + more if more else b""
        if isinstance(part, Alt):
            best = [needles(option) for option in part.options]
            found += [tuple(sorted({one for several in best for one in several}))] if all(best) else []
        elif isinstance(part, Repeat) and part.least:
            found += _needles(part.inner)
    return [*found, (run,)] if run else found


def _flat(node: Node) -> Iterator[Node]:
    """The node, or what it is a sequence of."""
    match node:
        case Seq(parts):
            for part in parts:
                yield from _flat(part)
        case Capture(inner):
            yield from _flat(inner)
        case _:
            yield node


def _letter(chars: Chars) -> bytes:
    """The one character that this is, or nothing."""
    match chars.ranges:
        case ((low, high),) if low == high:
            char = chr(low)
        case _:
            return b""
    return b"" if chars.fold and not char.isascii() else folded(char.encode("utf-8", "surrogatepass"))


def _shortest(some: tuple[bytes, ...]) -> int:
    return min(map(len, some))


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
        both.add(KELVIN.decode())
    if "s" in both:
        both.add(LONG_S.decode())
    return both
