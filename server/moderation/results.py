"""What was found, in the shape of OpenAI's moderation: for `/v1/moderations` and for inline moderation.

A score is 0 or 1 for rules, which know nothing between; of a judge it is its own. What is in shadow counts nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from server.moderation.explain import BIDI
from server.moderation.policy import OPENAI_CATEGORIES, Channel, Direction
from server.moderation.ruleset import Ruleset


def model_of(rulesets: Iterable[Ruleset]) -> str:
    """As which model they answer."""
    return "+".join(f"{one.policy.name}-{one.policy.file.version}" for one in rulesets)


def looked_for(
    rulesets: Iterable[Ruleset],
    direction: Direction,
    channels: Sequence[Channel] = ("content",),
    silent: Collection[str] = (),
) -> dict[str, bool]:
    """All categories, and whether somebody looks for them in texts of this direction on one of the channels.

    `silent` judges did not look.
    """
    looked: dict[str, bool] = dict.fromkeys(map(str, OPENAI_CATEGORIES), False)
    for ruleset in rulesets:
        for name, there in _categories(ruleset, direction, channels, silent):
            looked[name] = looked.get(name, False) or there
    return looked


def result(looked: Mapping[str, bool], scores: Mapping[str, float]) -> dict[str, Any]:
    """`scores` has the categories that were found."""
    looked = {**looked, **dict.fromkeys(scores, True)}
    return {
        "flagged": bool(scores),
        "categories": {name: name in scores for name in looked},
        "category_scores": {name: float(scores.get(name, 0.0)) for name in looked},
        "category_applied_input_types": {name: ["text"] if there else [] for name, there in looked.items()},
    }


def _categories(
    ruleset: Ruleset, direction: Direction, channels: Sequence[Channel], silent: Collection[str]
) -> Iterator[tuple[str, bool]]:
    for rule in ruleset.rules:
        if rule.action != "shadow":
            yield rule.category, direction in rule.directions and not set(channels).isdisjoint(rule.channels)
    for seat in ruleset.seats:
        if seat.use.action != "shadow":
            for name in seat.looks_for:
                yield name, direction in seat.use.directions and seat.name not in silent
    if direction == "input" and ruleset.refuses_bidi:
        yield BIDI, True
