"""What an expression is made of, and what can be read from that: width, size, RE2 source, what is still unfinished.

Everything here is bounded: a `Repeat` always knows how many times at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    most: int  # 0, no bound, stands only in what `unfinished` makes


@dataclass(frozen=True, slots=True)
class Capture:
    inner: Node


Node = Chars | Assertion | Seq | Alt | Repeat | Capture
EMPTY = Seq(())
LONG = 16  # times; more have no bound in `unfinished`
DEEP = 100  # groups within each other, before the text is halved: RE2 reads at most 1000


def width(node: Node) -> int:
    """Characters of the longest match."""
    return _measured(node, 0, max, lambda _, most: most)


def least(node: Node) -> int:
    """Characters of the shortest match, as if every assertion held."""
    return _measured(node, 0, min, lambda times, _: times)


def size(node: Node) -> int:
    """Characters and assertions once every repetition is written out: what a compiled automaton grows with."""
    return _measured(node, 1, sum, lambda _, most: most or 1)


def _measured(
    node: Node, assertion: int, of_options: Callable[[Iterable[int]], int], times: Callable[[int, int], int]
) -> int:
    """Characters, each of which counts as 1; a repetition as so many `times`, from its least and its most."""

    def of(node: Node) -> int:
        match node:
            case Chars():
                return 1
            case Assertion():
                return assertion
            case Seq(parts):
                return sum(map(of, parts))
            case Alt(options):
                return of_options(map(of, options))
            case Repeat(inner, low, most):
                return times(low, most) * of(inner)
            case Capture(inner):
                return of(inner)

    return of(node)


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
            text = source(inner)
            text = text if isinstance(inner, Chars) else f"(?:{text})"
            return f"{text}{{{times},{most or ''}}}"
        case Capture(inner):
            return f"({source(inner)})"


def unfinished(node: Node) -> Node:
    """What matches every text that is no more than the beginning of a match, the empty text among them.

    A whole match is one if it can grow, or if it ends in an assertion: what follows decides that one. Such an assertion
    is not asked here, one within is. Long repetitions are taken for endless, so a little more is matched: exact ones
    make an automaton that takes long over every new word, and a stream holds no more than the longest match anyway.
    """
    return _begun(_loose(node), None) or EMPTY


def _loose(node: Node) -> Node:
    """No long repetitions, and no captures."""
    match node:
        case Chars() | Assertion():
            return node
        case Seq(parts):
            return Seq(tuple(map(_loose, parts)))
        case Alt(options):
            return Alt(tuple(map(_loose, options)))
        case Repeat(inner, least, most):
            return Repeat(_loose(inner), least if least <= LONG else 0, most if most <= LONG else 0)
        case Capture(inner):
            return _loose(inner)


def _begun(node: Node, then: Node | None) -> Node | None:
    """The beginnings of the node, and the node followed by `then`: the beginnings of what follows, if anything does.

    With nothing written twice where that can be: ab is (a(b)?)?, all beginnings in one.
    """
    match node:
        case Chars():
            return EMPTY if then is None else Repeat(_joined(node, then), 0, 1)
        case Assertion():
            return EMPTY if then is None else Alt((EMPTY, _joined(node, then)))
        case Seq(parts):
            return _begun_sequence(parts, then)
        case Alt(options):
            return _either(*(_begun(one, None) for one in options), then and _joined(node, then))
        case Repeat(Chars() as inner, least, most):
            return _begun_run(inner, least, most, then)
        case Repeat(inner, least, most):
            begun = _begun(inner, None)
            before = () if most == 1 else (_fewer(inner, most, 1),)
            return _either(begun and Seq((*before, begun)), then and _joined(node, then))
        case Capture(inner):
            raise TypeError(inner)  # a loose one has none


def _begun_sequence(parts: tuple[Node, ...], then: Node | None) -> Node | None:
    if len(parts) > 1 and sum(map(_nesting, parts)) > DEEP:
        middle = len(parts) // 2
        rest = _begun_sequence(parts[middle:], then)
        return _either(_begun_sequence(parts[:middle], None), rest and Seq((*parts[:middle], rest)))
    for part in reversed(parts):
        then = _begun(part, then)
    return then


def _begun_run(inner: Chars, least: int, most: int, then: Node | None) -> Node | None:
    """Of one character again and again: every beginning of it is one of its repetitions too."""
    if then is None:
        return EMPTY if most == 1 else _fewer(inner, most, 1)
    rest = then if most == least > 0 else _joined(_fewer(inner, most, least), then)
    return _begun_sequence((inner,) * least, rest)


def _fewer(inner: Node, most: int, by: int) -> Repeat:
    return Repeat(inner, 0, most - by if most else 0)


def _nesting(part: Node) -> int:
    """How many groups within each other the beginnings of this part are, at most."""
    return min(size(part), LONG if isinstance(part, Repeat) else DEEP)


def _joined(first: Node, then: Node) -> Node:
    return Seq((first, *then.parts)) if isinstance(then, Seq) else Seq((first, then))


def _either(*options: Node | None) -> Node | None:
    known = tuple(one for one in options if one is not None)
    return Alt(known) if len(known) > 1 else known[0] if known else None
