"""Which tokens have rows of their own in embedding and head: those that occur often enough in the corpus."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .encoding import VOCABULARY_SIZE, cjk_flags
from .rendering import Sample

UNKNOWN_ROWS = 2  # row 0: any other token; row 1: any other Chinese token


def frequent_tokens(samples: Iterable[Sample], least: int) -> list[int]:
    """Tokens seen `least` times, and every token that is to be said."""
    seen: Counter[int] = Counter()
    said: set[int] = set()
    for sample in samples:
        seen.update(sample.tokens)
        said.update(token for token, learned in zip(sample.tokens, sample.learned, strict=True) if learned)
    return sorted(said | {token for token, times in seen.items() if times >= least})


class Vocabulary:
    """Token id -> row. Rows 0 and 1 are shared by all tokens without a row of their own."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)
        rows = np.zeros(VOCABULARY_SIZE, dtype=np.int64)
        rows[np.asarray(cjk_flags())] = 1
        rows[self.tokens] = np.arange(UNKNOWN_ROWS, UNKNOWN_ROWS + len(self.tokens))
        self._rows: NDArray[np.int64] = rows

    def __len__(self) -> int:
        return UNKNOWN_ROWS + len(self.tokens)

    def rows(self, tokens: Sequence[int]) -> NDArray[np.int64]:
        return self._rows[np.asarray(tokens)]
