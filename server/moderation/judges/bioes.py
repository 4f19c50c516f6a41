"""Spans out of scores per token: the best sequence of BIOES tags that makes sense (Viterbi). Pure.

A row of scores is `O`, then `B I E S` of the first label, of the second, and so on. A sequence makes sense if a label
begins with B, goes on with I and ends with E, or is S alone; so after B and I of a label comes its I or E, and after O,
E and S comes O or the B or S of any label.

With that structure what a token's tag may come from is one of three things (outside; just ended; within this label), so
a token costs 33 additions and not 33 x 33.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

OUTSIDE = 0
NEVER = float("-inf")


class Biases(NamedTuple):
    """Added for each transition, in units of log probability: the six of privacy-filter's viterbi_calibration.json.

    Those that the model was published with are zero. Higher `background_to_start` finds more and is wrong more often.
    """

    background_stay: float = 0.0
    background_to_start: float = 0.0
    inside_to_continue: float = 0.0
    inside_to_end: float = 0.0
    end_to_background: float = 0.0
    end_to_start: float = 0.0


UNBIASED = Biases()
Came = tuple[int, int, list[bool]]  # the tag before O; before B and S; for I and E of each label whether B was before


class Tagged(NamedTuple):
    """Tokens `first` to `last`, both included, have the label of this index."""

    label: int
    first: int
    last: int


def best_path(rows: Sequence[Sequence[float]], biases: Biases = UNBIASED) -> list[int]:
    """The tag of each token, as an index into its row. `rows` are log probabilities, finite, all of one length."""
    if not rows:
        return []
    stay, start, go_on, end, leave, restart = biases
    outside = rows[0][OUTSIDE]
    begun, single = list(rows[0][1::4]), list(rows[0][4::4])
    within = [NEVER] * len(begun)
    ended = within
    came: list[Came] = []
    for row in rows[1:]:
        last, last_tag = _just_ended(ended, single)
        to_outside, before_outside = _better(outside + stay, last + leave, last_tag)
        to_start, before_start = _better(outside + start, last + restart, last_tag)
        from_begun = [b >= i for b, i in zip(begun, within, strict=True)]
        inner = list(map(max, begun, within))
        came.append((before_outside, before_start, from_begun))
        outside = row[OUTSIDE] + to_outside
        begun = [score + to_start for score in row[1::4]]
        within = [score + one + go_on for score, one in zip(row[2::4], inner, strict=True)]
        ended = [score + one + end for score, one in zip(row[3::4], inner, strict=True)]
        single = [score + to_start for score in row[4::4]]
    last, last_tag = _just_ended(ended, single)  # a text may not end within a label
    return _back(came, _better(outside, last, last_tag)[1])


def _just_ended(ended: list[float], single: list[float]) -> tuple[float, int]:
    """The best of the tags E and S, and which it is."""
    by_end, alone = max(ended), max(single)
    if by_end > alone:
        return by_end, ended.index(by_end) * 4 + 3
    return alone, single.index(alone) * 4 + 4


def _better(outside: float, last: float, last_tag: int) -> tuple[float, int]:
    return (outside, OUTSIDE) if outside >= last else (last, last_tag)


def _back(came: list[Came], tag: int) -> list[int]:
    path = [tag]
    for before_outside, before_start, from_begun in reversed(came):
        kind, label = (tag - 1) % 4, (tag - 1) // 4
        if tag == OUTSIDE:
            tag = before_outside
        elif kind in (0, 3):
            tag = before_start
        else:
            tag = label * 4 + (1 if from_begun[label] else 2)
        path.append(tag)
    path.reverse()
    return path


def spans(path: Sequence[int]) -> list[Tagged]:
    """What a path of `best_path` marks."""
    found: list[Tagged] = []
    first = 0
    for at, tag in enumerate(path):
        kind = (tag - 1) % 4
        if tag == OUTSIDE or kind == 1:
            continue
        if kind in (0, 3):
            first = at
        if kind in (2, 3):
            found.append(Tagged((tag - 1) // 4, first, at))
    return found
