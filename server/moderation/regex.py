r"""Reads regular expressions that users wrote. They never run on an engine that backtracks.

The language is the common one, of bounded width:

    abc  .  [a-z]  [^a-z]  [[:alpha:]]       characters and classes
    \d \w \s \D \W \S  \p{Han}               ASCII as in RE2, and classes of Unicode
    \n \r \t \f \v \a  \x41 \x{1F600} \u4e00 \.    one character
    ab  a|b  (a)  (?:a)  (?P<name>a)         one after another, one of several, groups
    a?  a{3}  a{0,5}  (each may end in ?)    repetition, of at most 1000
    (?i)  (?i:a)  (?-i)  and with s, m       no regard to case, `.` is also a newline, ^ $ at lines
    \b \B ^ $ \A \z                          what stands beside

A match is the longest from its start, whatever the order of alternatives or a `?` after a repetition ask for.
What has no upper bound is refused (`*`, `+`, `{3,}`): a stream would have to be held back without end. So is what an
automaton cannot do (look-around, back-references), what matches the empty text, and what is too large.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.moderation.expressions import compiles
from server.moderation.regex_parts import BadRegex, Flags, Scanner, read_class, read_escape
from server.moderation.regex_tree import (
    EMPTY,
    Alt,
    Assertion,
    Capture,
    Chars,
    Node,
    Repeat,
    Seq,
    least,
    size,
    source,
    unfinished,
    width,
)

MOST_TIMES = 1000  # RE2's own bound, on nested repetitions together too
MOST_WIDTH = 2048  # characters that a stream may have to hold back
MOST_SIZE = 8192  # characters and assertions with every repetition written out
MOST_DEPTH = 40  # groups in groups
CAPS = (256, 128, 64, 32, 16, 8)  # what takes the place of no bound, where that is allowed


@dataclass(frozen=True, slots=True)
class Regex:
    """An expression that can be matched in a stream."""

    tree: Node
    width: int
    """Characters of the longest match."""
    least: int
    """Bytes of the shortest match, or less."""
    size: int
    """Characters and assertions with every repetition written out."""
    source: str
    """For RE2, in its syntax."""
    unfinished: str
    """For RE2: matches the texts, the empty one too, that what follows could make a match, or a longer one."""


def parse(text: str, *, ignore_case: bool = True) -> Regex:
    """Raise BadRegex, with a reason of one line, for what cannot be matched in a stream."""
    return _checked(_Parser(text, Flags(i=ignore_case), None).whole())


def parse_capped(text: str, *, ignore_case: bool = False) -> tuple[Regex, int | None]:
    """Read an expression from elsewhere; where it has no bound it gets one, the largest of CAPS that is not too large.

    `+` becomes {1,1+cap}, `*` becomes {0,cap}, {m,} becomes {m,m+cap}. The cap is None if there was nothing to bound.
    """
    reason = BadRegex("")
    for cap in CAPS:
        parser = _Parser(text, Flags(i=ignore_case), cap)
        tree = parser.whole()
        try:
            return _checked(tree), cap if parser.capped else None
        except BadRegex as error:
            reason = error
            if not parser.capped:
                break
    raise reason


def _checked(tree: Node) -> Regex:
    short = least(tree)
    if not short:
        raise BadRegex("it matches the empty text; let it have at least one character")
    _check_times(tree, 1)
    wide, large = width(tree), size(tree)
    if wide > MOST_WIDTH:
        raise BadRegex(f"its longest match has {wide} characters, and at most {MOST_WIDTH} are held back in a stream")
    if large > MOST_SIZE:
        raise BadRegex(f"with every repetition written out it has {large} characters, and {MOST_SIZE} is the most")
    written = source(tree)
    if not compiles(written):
        raise BadRegex("RE2 would need too much memory for it; repeat large classes (\\p{...}, [^...]) less often")
    return Regex(tree, wide, short, large, written, source(unfinished(tree)))


def _check_times(node: Node, times: int) -> None:
    match node:
        case Repeat(inner, _, most):
            if times * most > MOST_TIMES:
                raise BadRegex(f"repetitions within each other come to {times * most}, and {MOST_TIMES} is the most")
            _check_times(inner, times * max(most, 1))
        case Seq(nodes) | Alt(nodes):
            for one in nodes:
                _check_times(one, times)
        case Capture(inner):
            _check_times(inner, times)
        case Chars() | Assertion():
            pass


class _Parser:
    """Recursive descent: alternatives, sequences, repetitions, atoms."""

    def __init__(self, text: str, flags: Flags, cap: int | None) -> None:
        self._in = Scanner(text)
        self._flags = flags
        self._cap = cap
        self._depth = 0
        self.capped = False

    def whole(self) -> Node:
        node = self._alternatives()
        if not self._in.done:
            raise self._in.error("')' closes no group; write \\) for the character")
        return node

    def _alternatives(self) -> Node:
        options = [self._sequence()]
        while self._in.take("|"):
            options.append(self._sequence())
        return Alt(tuple(options)) if len(options) > 1 else options[0]

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while not self._in.done and self._in.next not in "|)":
            at = self._in.at
            atom = self._atom()
            if atom is not None:
                parts.append(self._repeated(atom, at))
        return parts[0] if len(parts) == 1 else Seq(tuple(parts))

    def _repeated(self, atom: Node, at: int) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return atom
        if isinstance(atom, Assertion):
            raise self._in.error("an assertion cannot be repeated", at)
        if not self._in.done and (self._in.next in "*+" or (self._in.next == "{" and self._in.bounds())):
            raise self._in.error("a repetition is repeated; put the first into a group (?:...)")
        return Repeat(atom, *bounds) if bounds[1] else EMPTY

    def _bounds(self) -> tuple[int, int] | None:
        at = self._in.at
        if self._in.take("?"):
            low, high = 0, 1
        elif self._in.take("*"):
            low, high = 0, self._bounded(0, "*", at)
        elif self._in.take("+"):
            low, high = 1, self._bounded(1, "+", at)
        elif (found := self._in.bounds()) is not None:
            self._in.at, low, high = found
            high = self._bounded(low, f"{{{low},}}", at) if high is None else high
        else:
            return None
        if high < low or high > MOST_TIMES:
            raise self._in.error(f"a repetition is from few to many, and at most {MOST_TIMES}", at)
        self._in.take("?")  # as few as possible: no difference to the longest match
        return low, high

    def _bounded(self, low: int, written: str, at: int) -> int:
        if self._cap is None:
            example = f"{{{low},{low + 63 + (not low)}}}"
            raise self._in.error(f"'{written}' has no upper bound; write one, for instance {example}", at)
        self.capped = True
        return low + self._cap

    def _atom(self) -> Node | None:
        """None for what is only a change of flags."""
        at = self._in.at
        char = self._in.pop()
        if char in "?*+" or (char == "{" and self._in.bounds(at)):
            raise self._in.error(f"'{char}' repeats nothing; write \\{char} for the character", at)
        if char == "(":
            return self._group(at)
        if char == "[":
            return read_class(self._in, self._flags)
        if char == "\\":
            return read_escape(self._in, self._flags)
        return self._flags.plain(char)

    def _group(self, at: int) -> Node | None:
        outside = self._flags
        captures = True
        if self._in.take("?"):
            captures = self._in.take("P<") or (self._in.take("<") and self._in.next not in "=!")
            if captures:
                self._in.name(at)
            elif self._modifiers(at):
                return None
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise self._in.error(f"more than {MOST_DEPTH} groups within each other", at)
        node = self._alternatives()
        self._depth -= 1
        if not self._in.take(")"):
            raise self._in.error("the group that opens here is not closed", at)
        self._flags = outside
        return Capture(node) if captures else node

    def _modifiers(self, at: int) -> bool:
        """What stands between `(?` and `:` or `)`. True if the flags hold from here to the end of the group around."""
        if not self._in.done and self._in.next in "=!<":
            raise self._in.error("look-around is not supported; match what stands beside it too, or use \\b", at)
        value = True
        while not self._in.done:
            char = self._in.pop()
            if char in ":)":
                return char == ")"
            if char == "-" and value:
                value = False
            elif char in "ims":
                self._flags = self._flags.changed(char, value)
            else:
                break
        raise self._in.error(
            "this kind of group is not supported; known are (?:...), (?P<name>...), (?i), (?s), (?m)", at
        )
