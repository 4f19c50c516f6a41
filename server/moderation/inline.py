"""OpenAI's inline moderation: the `moderation` of a chat request, and what the answer tells of it.

It can only add. In mode `score` a policy looks and changes nothing; in mode `block` whatever it finds blocks, also what
it would only flag or replace. A policy that applies anyhow does at least what it does without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from server.moderation.guard import Guard
from server.moderation.policy import Channel, Direction
from server.moderation.results import looked_for, model_of, result
from server.moderation.ruleset import Ruleset
from server.openai.chat_request import InlineModeration

UNAVAILABLE = {
    "type": "error",
    "code": "moderation_unavailable",
    "message": "A model that judges texts for this policy gave no verdict.",
}


class Acting(NamedTuple):
    """A policy as it acts in each direction. `told`: the answer tells what it found."""

    input: Ruleset
    output: Ruleset
    told: bool


def acting(asked: InlineModeration, applying: Sequence[Ruleset], told: Sequence[Ruleset]) -> list[Acting]:
    """Those that apply anyhow, and those whose findings are to be told, in this order."""

    def one(ruleset: Ruleset, *, blocks: bool) -> Ruleset:
        if blocks and ruleset in told:
            return ruleset.blocking
        return ruleset if ruleset in applying else ruleset.scoring

    return [
        Acting(one(each, blocks=asked.blocks_input), one(each, blocks=asked.blocks_output), each in told)
        for each in dict.fromkeys((*applying, *told))
    ]


def results_of(guards: Sequence[Guard], choices: int) -> dict[str, Any]:
    """`{input, output}`, in the shape of OpenAI's `ChatCompletionModeration`: a result for each choice in `output`."""
    return {"input": _results(guards, "input", 1), "output": _results(guards, "output", choices)}


def _results(guards: Sequence[Guard], direction: Direction, number: int) -> dict[str, Any]:
    if any(guard.notes[direction].failed for guard in guards):
        return UNAVAILABLE
    rulesets = [guard.ruleset if direction == "input" else guard.output for guard in guards]
    model, looked = model_of(rulesets), looked_for(rulesets, direction, get_args(Channel))
    found = [_scores(guards, direction, index) for index in range(number)]
    head = {"type": "moderation_result", "model": model}
    return {"type": "moderation_results", "model": model, "results": [head | result(looked, one) for one in found]}


def _scores(guards: Sequence[Guard], direction: Direction, index: int) -> dict[str, float]:
    best: dict[str, float] = {}
    for guard in guards:
        for category, score in guard.notes[direction].scores.get(index, {}).items():
            best[category] = max(score, best.get(category, 0.0))
    return best
