"""The classifiers and judges of a policy, and what their verdicts mean for a text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from types import MappingProxyType
from typing import NamedTuple

from server.errors import ModerationUnavailable
from server.moderation.decisions import Tier
from server.moderation.judges.categories import looked_for
from server.moderation.judges.judge import Judge
from server.moderation.judges.verdicts import PARTLY_SCANNED, Failure, JudgeFailed, Verdict
from server.moderation.policy import Action, Direction, JudgeUse, Policy

NO_VERDICT = "no-verdict/"
"""Begins the category of a text that could not be judged; then comes why."""
VIOLATION = "violation"
"""The category of what a judge objects to without a word about why."""


class Seat(NamedTuple):
    """One judge of a policy: a `Judge` for each direction, since some are told who wrote the text."""

    name: str
    use: JudgeUse
    judges: Mapping[Direction, Judge]

    @property
    def tier(self) -> Tier:
        return "judge" if self.use.adapter == "safeguard" else "classifier"

    @property
    def looks_for(self) -> list[str]:
        """Categories."""
        return looked_for(self.use.adapter, self.use.categories)


NewSeat = Callable[[Policy, JudgeUse], Seat]
"""Raises `ConfigError`, one line, for an engine or model that is not there."""


Judged = Callable[[str, float], None]
"""Hears which judge was asked and how many seconds that took."""


class Finding(NamedTuple):
    """What a judge objects to in a text. `category` names why there was no verdict, too."""

    seat: Seat
    action: Action
    category: str
    failed: bool = False  # it gave no verdict
    scores: Mapping[str, float] = MappingProxyType({})
    """Of all categories that count, from 0 to 1."""


Saw = Callable[[str, int], None]
"""Told which judge saw how many characters of the text; of one that gave no verdict that is not known: 0."""


def _unheard(judge: str, characters: int) -> None:
    """For who does not want to know."""


async def ask(
    seats: Sequence[Seat], direction: Direction, text: str, *, suspicious: bool, judged: Judged, saw: Saw = _unheard
) -> list[Finding]:
    """All judges for this direction at once; those to escalate to where something was found before (`suspicious`)."""
    asked = [seat for seat in seats if direction in seat.judges and (seat.use.when == "always" or suspicious) and text]
    outcomes = await asyncio.gather(*(_outcome(seat, direction, text, judged) for seat in asked))
    for seat, outcome in zip(asked, outcomes, strict=True):
        saw(seat.name, outcome.scanned if isinstance(outcome, Verdict) else 0)
    return [one for seat, outcome in zip(asked, outcomes, strict=True) if (one := _finding(seat, outcome))]


def check_judged(findings: Sequence[Finding]) -> None:
    """Raises `ModerationUnavailable` where a judge that fails closed gave no verdict and none of the others blocks."""
    blocking = [one for one in findings if one.action == "block"]
    if blocking and all(one.failed for one in blocking):
        raise ModerationUnavailable("The content could not be checked at the moment. Try again.", retry_after=2)


async def _outcome(seat: Seat, direction: Direction, text: str, judged: Judged) -> Verdict | Failure:
    begun = perf_counter()
    try:
        return await seat.judges[direction].ask(text)
    except JudgeFailed as error:
        return error.failure
    finally:
        judged(seat.name, perf_counter() - begun)


def _failure(outcome: Verdict | Failure) -> str | None:
    """Why it is not known whether the text is safe."""
    if isinstance(outcome, Failure):
        return outcome.value
    return None if outcome.flagged or outcome.whole else PARTLY_SCANNED


def _finding(seat: Seat, outcome: Verdict | Failure) -> Finding | None:
    failure = _failure(outcome)
    if failure is not None:
        action = "block" if seat.use.on_failure == "closed" else "flag"
        return Finding(seat, action, f"{NO_VERDICT}{failure}", failed=True)
    assert isinstance(outcome, Verdict)  # noqa: S101
    if not outcome.flagged:
        return None
    wanted = seat.use.categories
    named = [name for name, _ in sorted(outcome.categories.items(), key=lambda one: -one[1]) if one_of(name, wanted)]
    if wanted and not named:
        return None
    scores = {name: outcome.categories[name] for name in named} or {VIOLATION: 1.0}
    return Finding(seat, seat.use.action, next(iter(scores)), scores=scores)


def one_of(category: str, wanted: Sequence[str]) -> bool:
    """No `wanted` ones are all."""
    return not wanted or category in wanted
