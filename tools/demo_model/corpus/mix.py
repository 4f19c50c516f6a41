"""Which sorts of conversation there are, and how much of each."""

from collections.abc import Callable
from random import Random

from . import copying, families, fixed, functions, judge, legacy, schemas, unknown
from .kinds import Conversation, Pack, RawText
from .settings import settle

# maker -> its share of the corpus, in percent
MIX: dict[Callable[[Random], Conversation], float] = {
    fixed.fixed: 26,
    fixed.any_story: 1,
    fixed.near_miss: 7,
    unknown.fallback: 11,
    families.capital: 2,
    families.addition: 3,
    families.unknown_sum: 1,
    families.ordering: 3.5,
    families.count: 4,
    families.repeat: 5,
    families.chance: 3,
    families.names: 6,
    functions.call: 14,
    functions.result: 12,
    functions.no_tool: 7,
    judge.judge: 10,
    schemas.forced: 9,
    schemas.requested: 3,
    schemas.required_call: 9,
}
# what is not a single conversation, in percent of all
OTHERS: dict[Callable[[Random], Pack | RawText], float] = {copying.pack: 15, copying.drill: 2, legacy.raw: 3}


def conversations(number: int, seed: int = 1) -> list[Conversation | Pack | RawText]:
    rng = Random(seed)
    return [_one(rng) for _ in range(number)]


def _one(rng: Random) -> Conversation | Pack | RawText:
    if rng.random() * 100 < sum(OTHERS.values()):
        return rng.choices(list(OTHERS), list(OTHERS.values()))[0](rng)
    return settle(rng, rng.choices(list(MIX), list(MIX.values()))[0](rng))
