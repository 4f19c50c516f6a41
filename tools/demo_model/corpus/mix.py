"""Which sorts of conversation there are, and how much of each."""

from collections.abc import Callable
from random import Random

from . import families, fixed, functions, judge, legacy, schemas, unknown
from .kinds import Conversation, RawText
from .settings import settle

# maker -> its share of the corpus, in percent
MIX: dict[Callable[[Random], Conversation], float] = {
    fixed.fixed: 27,
    fixed.any_story: 1,
    fixed.near_miss: 6,
    unknown.fallback: 9,
    families.capital: 2,
    families.addition: 3,
    families.unknown_sum: 1,
    families.ordering: 3.5,
    families.count: 2,
    families.repeat: 4,
    families.chance: 3,
    families.names: 4,
    functions.call: 10,
    functions.result: 9,
    functions.no_tool: 3,
    judge.judge: 8,
    schemas.forced: 5,
    schemas.requested: 2,
    schemas.required_call: 2,
}
RAW_SHARE = 0.01


def conversations(number: int, seed: int = 1) -> list[Conversation | RawText]:
    rng = Random(seed)
    makers, weights = list(MIX), list(MIX.values())
    return [legacy.raw(rng) if rng.random() < RAW_SHARE else settle(rng, rng.choices(makers, weights)[0](rng)) for _ in range(number)]
