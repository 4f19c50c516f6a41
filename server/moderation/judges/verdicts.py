"""What a judge says of a text, why it could say nothing, and what that then means. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

SAFE = "safe"
PARTLY_SCANNED = "partly_scanned"

Mode = Literal["closed", "open"]


class Failure(StrEnum):
    """Bounded names, for metrics and the audit."""

    LATE = "late"  # no whole answer in time
    MALFORMED = "malformed"  # an answer that is no verdict
    UNREACHABLE = "unreachable"  # no connection, or it broke
    BREAKER_OPEN = "breaker_open"  # it failed so often that it is left alone for a while
    OVERLOADED = "overloaded"  # too many questions here, or the engine says so (429, 503)
    REFUSED = "refused"  # another error status: a wrong model name, a text longer than the context, a bug
    STOPPED = "stopped"  # we shut down


class JudgeFailed(Exception):
    """No verdict. `failure` says why; nothing of the text or of the answer is in it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


class MalformedAnswer(Exception):
    """An answer that is no verdict. Its text is one of a few, with nothing of the answer or of what was judged."""


@dataclass(frozen=True, slots=True)
class Span:
    """`label` (a category) from character `start` to before character `end` of the judged text."""

    label: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """`categories` has those found, from 0 to 1; a model without scores gives 1.0, or 0.5 for a doubtful case.

    `reason` is a short code. `scanned` of the `length` characters were seen by the model: if not `flagged`, nothing is
    known of the others.
    """

    flagged: bool
    categories: Mapping[str, float]
    reason: str
    scanned: int
    length: int
    spans: tuple[Span, ...] = field(default=())

    @property
    def whole(self) -> bool:
        return self.scanned >= self.length


def decided(outcome: Verdict | Failure, mode: Mode = "closed") -> Verdict:
    """What to act on. Closed: what was not judged, or not judged whole and found safe, is flagged. Open: it passes.

    `reason` tells such verdicts from a model's: `judge_late`, `judge_malformed`, ..., `partly_scanned`.
    """
    if isinstance(outcome, Failure):
        return Verdict(mode == "closed", {}, f"judge_{outcome.value}", scanned=0, length=0)
    if outcome.flagged or outcome.whole:
        return outcome
    return Verdict(mode == "closed", outcome.categories, PARTLY_SCANNED, outcome.scanned, outcome.length, outcome.spans)
