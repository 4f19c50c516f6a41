"""Prompts of the legacy completions API, where no chat format surrounds the text."""

from random import Random

from .kinds import RawText
from .unknown import unknown_text

KNOWN = (
    ("Say this is a test", "\n\nThis is a test."),
    ("Hello", ", world!"),
    ("Once upon a time", " there was a lighthouse at the end of a long stone bridge. The end."),
    ("The capital of France is", " Paris."),
    ("1, 2, 3,", " 4, 5, 6, 7, 8, 9, 10"),
    ("从前", "，在一座长长的石桥尽头有一座灯塔。故事讲完了。"),
)
UNKNOWN = " This is Portico's demo model. Please use chat completions."


def raw(rng: Random) -> RawText:
    if rng.random() < 0.75:
        return RawText(*rng.choice(KNOWN))
    return RawText(unknown_text(rng, rng.choice(("en", "en", "zh"))), UNKNOWN)
