"""The automaton of Aho and Corasick (CACM 18, 1975) over symbols: all forms of all literals at once.

States are numbers, 0 is the root. Everything lies in flat tables of numbers, which Python's collector of garbage does
not walk through: ten thousand literals are some 200,000 states.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.moderation.forms import STOP, Form
from server.moderation.normalise import is_unspaced

SHIFT = 21  # bits of a symbol's number: there are fewer symbols than twice the code points
NOWHERE = 0  # the number of all symbols that are in no form

# By what a state can be left, for `Automaton.ways`.
LETTER, FIRST, UNSPACED, MARK = 1, 2, 4, 8
ANY = LETTER | FIRST | UNSPACED | MARK


class Automaton:
    """`goto[state << SHIFT | symbol]` is the next state, where there is one without falling back."""

    def __init__(self, forms: Iterable[Form]) -> None:
        self.symbols: dict[str, int] = {}
        self.goto: dict[int, int] = {}
        self.depth = [0]  # in symbols
        self.ways = bytearray(1)  # by which kinds of symbols it goes on, see above
        self.ends: dict[int, list[Form]] = {}  # the forms that a state is the end of
        self._came_by = [(0, 0)]  # the state before, and the symbol
        for form in forms:
            self._add(form)
        self.fall, self.hits = self._fall()

    def _add(self, form: Form) -> None:
        state = 0
        for symbol in form.symbols:
            code = self.symbols.get(symbol)
            if code is None:
                code = self.symbols[symbol] = len(self.symbols) + 1
            key = state << SHIFT | code
            following = self.goto.get(key)
            if following is None:
                following = self.goto[key] = len(self.depth)
                self.depth.append(self.depth[state] + 1)
                self.ways.append(0)
                self.ways[state] |= _way(symbol)
                self._came_by.append((state, code))
            state = following
        self.ends.setdefault(state, []).append(form)

    def _fall(self) -> tuple[list[int], list[int]]:
        """Where to fall back to: the longest end that is a beginning. And the nearest state on that way, itself
        included, at which a form ends; 0 if there is none.
        """
        goto, ends = self.goto, self.ends
        fall, hits = [0] * len(self.depth), [0] * len(self.depth)
        for state in sorted(range(1, len(self.depth)), key=self.depth.__getitem__):
            before, code = self._came_by[state]
            back = 0
            while before:
                before = fall[before]
                following = goto.get(before << SHIFT | code)
                if following is not None:
                    back = following
                    break
            fall[state] = back
            hits[state] = state if state in ends else hits[back]
        self._came_by = []
        return fall, hits

    def along(self, state: int, code: int) -> int:
        """The next state, falling back as far as it must."""
        goto = self.goto
        while True:
            following = goto.get(state << SHIFT | code)
            if following is not None:
                return following
            if not state:
                return 0
            state = self.fall[state]

    def depth_of(self, state: int, ways: int) -> int:
        """The length in symbols of the longest beginning of a form that ends here and goes on by one of `ways`."""
        while state and not self.ways[state] & ways:
            state = self.fall[state]
        return self.depth[state]


def _way(symbol: str) -> int:
    if symbol == STOP:
        return MARK
    if len(symbol) > 1:
        return FIRST
    return UNSPACED if is_unspaced(symbol) else LETTER
