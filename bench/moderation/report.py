"""Rates as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from bench.moderation.rules import Rules, exactness
from bench.moderation.score import Rate, Tally, tallies
from bench.moderation.sets import ANY, Text
from bench.table import markdown

Said = Mapping[str, Iterable[str]]
"""The categories that a tier found, by the id of the text; a text that it was not asked about is left out."""


def percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def rate(one: Rate) -> str:
    """In percent, with its 95 % interval; a dash where there is nothing to take a share of."""
    if not one.of:
        return "-"
    low, high = one.interval
    return f"{percent(one.value)} [{percent(low)}, {percent(high)}]"


def quality(texts: Sequence[Text], tiers: Mapping[str, Said]) -> str:
    """A line per category and tier, where there is anything to say."""
    lines = [["category", "tier", "harmful", "harmless", "precision %", "recall %", "false positives %"]]
    found = {tier: tallies(texts, said) for tier, said in tiers.items()}
    for category in next(iter(found.values()), {}):
        for tier, by_category in found.items():
            tally = by_category.get(category)
            if tally is not None and (tally.recall.of or tally.false):
                lines.append(_line(category, tier, tally))
    return markdown(lines)


def _line(category: str, tier: str, tally: Tally) -> list[str]:
    counts = [f"{tally.recall.of:,}", f"{tally.false_positives.of:,}"]
    return [category, tier, *counts, rate(tally.precision), rate(tally.recall), rate(tally.false_positives)]


def harmless(texts: Sequence[Text], said: Said) -> str:
    """A line per class of texts in which nothing is to be found."""
    kinds: dict[str, list[bool]] = {}
    for one in texts:
        if not one.labels[ANY]:
            kinds.setdefault(one.kind, []).append(bool(list(said[one.id])))
    lines = [["harmless texts", "texts", "something found %"]]
    lines += [[kind, str(len(found)), rate(Rate(sum(found), len(found)))] for kind, found in kinds.items()]
    return markdown(lines)


def evasions(texts: Sequence[Text], rules: Rules) -> str:
    """A line per kind of disguise: how much of what was disguised is found, to the character."""
    kinds: dict[str, list[Text]] = {}
    for one in texts:
        if one.expected:
            kinds.setdefault(one.evasion or "none", []).append(one)
    lines = [["disguise", "texts", "found to the character %", "texts with anything else found %"]]
    for name, disguised in kinds.items():
        exact, extra = exactness(disguised, rules)
        lines.append([name, str(len(disguised)), rate(exact), rate(extra)])
    return markdown(lines)
