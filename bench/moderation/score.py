"""Counts of right and wrong, rates and their intervals. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.moderation.sets import ANY, Text

Z_95 = 1.959963984540054  # the normal distribution has 95 % of its mass within this many deviations


class Rate(NamedTuple):
    """`hits` of `of`."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.of)


def wilson(hits: int, of: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, 1927): good for few texts, and for none or all of them."""
    if not of:
        return math.nan, math.nan
    share, square = hits / of, z * z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = z / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == of else middle + half)


@dataclass
class Tally:
    """Texts of one category, by what they are and what was said of them."""

    found: int = 0  # true positives
    missed: int = 0
    false: int = 0
    passed: int = 0  # true negatives

    def add(self, truth: bool, said: bool) -> None:
        if truth:
            self.found, self.missed = self.found + said, self.missed + (not said)
        else:
            self.false, self.passed = self.false + said, self.passed + (not said)

    @property
    def precision(self) -> Rate:
        return Rate(self.found, self.found + self.false)

    @property
    def recall(self) -> Rate:
        return Rate(self.found, self.found + self.missed)

    @property
    def false_positives(self) -> Rate:
        return Rate(self.false, self.false + self.passed)


def with_parents(categories: Iterable[str]) -> frozenset[str]:
    """A category within another is of that one too: sexual/minors is sexual."""
    found = frozenset(categories)
    return found | {one.partition("/")[0] for one in found}


def tallies(texts: Sequence[Text], said: Mapping[str, Iterable[str]]) -> dict[str, Tally]:
    """By category, ANY first. `said`: the categories found in the text of each id; a text without is left out.

    A text counts in a category only where its label is known; in ANY, whatever was said of it counts.
    """
    found: dict[str, Tally] = {}
    for text in texts:
        if text.id not in said:
            continue
        have = with_parents(said[text.id])
        for category, truth in text.labels.items():
            here = bool(have) if category == ANY else category in have
            found.setdefault(category, Tally()).add(truth, here)
    return dict(sorted(found.items(), key=lambda one: (one[0] != ANY, one[0])))
