"""Practice in copying, dense: what a tiny model learns last is to repeat a word that it was just given.

A pack holds several conversations whose answers depend on a copied word; a drill is a list of words, twice."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from . import families, functions
from .kinds import Conversation, Pack, RawText
from .settings import random_date
from .words import CITIES_EN, CITIES_ZH, CONDITIONS, NAMES_EN, NAMES_ZH, WORDS_EN, WORDS_ZH

COPYING: dict[Callable[[Random], Conversation], float] = {
    functions.call: 4,
    functions.result: 4,
    families.repeat: 3,
    families.names: 3,
    families.capital: 2,
    families.addition: 2,
    families.ordering: 1,
}
LISTS: tuple[tuple[str, ...], ...] = (
    CITIES_EN, CITIES_ZH, NAMES_EN, NAMES_ZH, WORDS_EN, WORDS_ZH, tuple(map(str, range(36))),
    tuple(english for english, _ in CONDITIONS), tuple(chinese for _, chinese in CONDITIONS),
)  # fmt: skip


def pack(rng: Random) -> Pack:
    """One effort and one date for all, since there is one system message."""
    makers, weights = list(COPYING), list(COPYING.values())
    effort, date = rng.choices(("low", "medium", "high"), (5, 4, 0.5))[0], random_date(rng)
    chosen = [rng.choices(makers, weights)[0](rng) for _ in range(rng.randint(4, 8))]
    return Pack(tuple(replace(found, effort=effort, date=date) for found in chosen if not families.is_untold(found)))


def drill(rng: Random) -> RawText:
    chosen = [rng.choice(rng.choice(LISTS)) for _ in range(rng.randint(4, 14))]
    before, between = rng.choice((("", " "), (" ", " "), ("", ", "), ('"', '", "'), ("", "\n"), ("- ", "\n- ")))
    other_before, other_between = (before, between) if rng.random() < 0.6 else ("", " ")
    return RawText(f"{before}{between.join(chosen)}\n\n", other_before + other_between.join(chosen), "drill")
