"""What an expression is made of, and what can be read from that: width, size, RE2 source, what is still unfinished.

Everything here is bounded: a `Repeat` always knows how many times at most.
"""

from __future__ import annotations

from dataclasses import dataclass

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set."""

    source: str  # for RE2
    ranges: Ranges | None = None  # None: not known, or too many to list
    fold: bool = False  # without regard to case


@dataclass(frozen=True, slots=True)
class Assertion:
    """Matches between two characters: what stands before decides, or what follows, or both."""

    source: str


@dataclass(frozen=True, slots=True)
class Seq:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    inner: Node
    least: int
    most: int  # 1 or more


@dataclass(frozen=True, slots=True)
class Capture:
    inner: Node


Node = Chars | Assertion | Seq | Alt | Repeat | Capture
EMPTY = Seq(())


def width(node: Node) -> int:
    """Characters of the longest match."""
    match node:
        case Chars():
            return 1
        case Assertion():
            return 0
        case Seq(parts):
            return sum(map(width, parts))
        case Alt(options):
            return max(map(width, options))
        case Repeat(inner, _, most):
            return most * width(inner)
        case Capture(inner):
            return width(inner)


def least(node: Node) -> int:
    """Characters of the shortest match, as if every assertion held."""
    match node:
        case Chars():
            return 1
        case Assertion():
            return 0
        case Seq(parts):
            return sum(map(least, parts))
        case Alt(options):
            return min(map(least, options))
        case Repeat(inner, times, _):
            return times * least(inner)
        case Capture(inner):
            return least(inner)


def size(node: Node) -> int:
    """Characters and assertions once every repetition is written out: what a compiled automaton grows with."""
    match node:
        case Chars() | Assertion():
            return 1
        case Seq(parts):
            return sum(map(size, parts))
        case Alt(options):
            return sum(map(size, options))
        case Repeat(inner, _, most):
            return most * size(inner)
        case Capture(inner):
            return size(inner)


def source(node: Node) -> str:
    """The expression as RE2 reads it."""
    match node:
        case Chars(text, _, fold):
            return f"(?i:{text})" if fold else text
        case Assertion(text):
            return text
        case Seq(parts):
            return "".join(map(source, parts))
        case Alt(options):
            return f"(?:{'|'.join(map(source, options))})"
        case Repeat(inner, times, most):
            return f"(?:{source(inner)}){{{times},{most}}}"
        case Capture(inner):
            return f"({source(inner)})"


def unfinished(node: Node) -> Node | None:
    """What matches exactly the texts that are no more than the beginning of a match; None if there are none.

    The empty text is one of them. A whole match is one if it can grow, or if it ends in an assertion: what follows
    decides that one. Such an assertion is not asked here, one within is. With u for `unfinished`:
    u(ab) = u(a) | a u(b) and u(x{m,n}) = x{0,n-1} u(x), so a repetition is not written out once per length.
    """
    match node:
        case Chars() | Assertion():
            return EMPTY
        case Seq(parts):
            return _unfinished_sequence(parts)
        case Alt(options):
            return _either([unfinished(one) for one in options])
        case Repeat(inner, _, most):
            rest = unfinished(inner)
            return rest if rest is None or most == 1 else Seq((Repeat(inner, 0, most - 1), rest))
        case Capture(inner):
            return unfinished(inner)


def _unfinished_sequence(parts: tuple[Node, ...]) -> Node | None:
    """By halves: nested one by one, long texts would be nested deeper than RE2 reads."""
    if len(parts) <= 1:
        return unfinished(parts[0]) if parts else None
    middle = len(parts) // 2
    rest = _unfinished_sequence(parts[middle:])
    later = None if rest is None else Seq((*parts[:middle], rest))
    return _either([_unfinished_sequence(parts[:middle]), later])


def _either(options: list[Node | None]) -> Node | None:
    known = tuple(one for one in options if one is not None)
    return Alt(known) if len(known) > 1 else known[0] if known else None
