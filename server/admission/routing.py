"""Which engine of a fleet gets a call: pure.

A prompt that begins as one before it is computed sooner where that one was: vLLM keeps the KV cache of prefixes. So
calls with the same prefix (prefix.py) go to the same engine, by weighted rendezvous hashing (Thaler and Ravishankar
1998; Schindelhauer and Schomaker 2005 for the weights): each engine has a score for each prefix, the highest wins, and
an engine that leaves or comes moves only the prefixes that it has or gets.

No engine may have much more to do than the others for that: the bound on loads of Mirrokni, Thorup and Zadimoghaddam,
"Consistent Hashing with Bounded Loads" (SODA 2018). An engine that has `BOUND` times its share of all outstanding
tokens is passed over for the one with the next score. A call without a prefix worth keeping goes to the engine with the
fewest outstanding tokens for its capacity.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Protocol, TypeVar
from zlib import crc32

BOUND = 1.25  # 1 + epsilon of the paper; less is fairer, more keeps more prefixes where they are
FIRST_GUESS = 256.0  # tokens of an answer, before any has ended
MEMORY = 0.95  # of the moving average of answers' lengths

_MASK = 2**64 - 1


class Loaded(Protocol):
    """What the choice looks at. `outstanding`: tokens that it has still to compute, about."""

    @property
    def name(self) -> str: ...

    @property
    def capacity(self) -> int: ...

    @property
    def outstanding(self) -> float: ...


Engine = TypeVar("Engine", bound=Loaded)


def choose(engines: Sequence[Engine], prefix: int | None, work: float) -> Engine:
    """One of `engines`, of which there is at least one and each has room, for a call of `work` tokens.

    `prefix` is a hash of 64 bits; None if the call has none that is worth keeping.
    """
    if len(engines) == 1:
        return engines[0]
    if prefix is None:
        return min(engines, key=_load)
    total = sum(engine.outstanding for engine in engines) + work
    capacity = sum(engine.capacity for engine in engines)
    bound = BOUND * total / capacity
    # There is always one: not all can have more than their share.
    return max((engine for engine in engines if _load(engine) < bound), key=lambda one: score(prefix, one))


def score(prefix: int, engine: Loaded) -> float:
    """The highest of all engines' wins the prefix. Each wins prefixes in proportion to its capacity:

    -w / ln(u) for a weight w and a hash u of both in (0, 1).
    """
    mixed = (prefix ^ crc32(engine.name.encode())) * 0x9E3779B97F4A7C15 & _MASK  # the finaliser of splitmix64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    mixed ^= mixed >> 31
    return -engine.capacity / log((mixed + 1) / (_MASK + 2))


def _load(engine: Loaded) -> float:
    return engine.outstanding / engine.capacity


class AnswerLengths:
    """What an answer may be expected to have, in tokens: the moving average of those that ended."""

    def __init__(self) -> None:
        self.expected = FIRST_GUESS

    def ended(self, completion: int) -> None:
        self.expected = MEMORY * self.expected + (1 - MEMORY) * completion


def work_left(prompt: int, expected: float, completion: int) -> float:
    """Tokens still to be computed for a call of whose answer `completion` tokens have come. Never 0: it is there."""
    return max(1.0, expected - completion + (0 if completion else prompt))
