"""The classifiers and judges of a policy, and what their verdicts mean for a text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from types import MappingProxyType
from typing import NamedTuple

from server.errors import ModerationUnavailable
from server.moderation.decisions import Tier
from server.moderation.judges.categories import looked_for
from server.moderation.judges.judge import Judge
from server.moderation.judges.verdicts import PARTLY_SCANNED, Failure, JudgeFailed, Span, Verdict
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
    action: Action  # redact only with spans
    category: str
    failed: bool = False  # it gave no verdict, or none on all of the text
    scores: Mapping[str, float] = MappingProxyType({})
    """Of all categories that count, from 0 to 1."""
    spans: tuple[Span, ...] = ()
    """To be replaced, in characters of the text."""


def asked(seats: Sequence[Seat], direction: Direction, *, suspicious: bool) -> list[Seat]:
    """Who judges a text: those to escalate to only where something was found before (`suspicious`)."""
    return [seat for seat in seats if direction in seat.judges and (seat.use.when == "always" or suspicious)]


Saw = Callable[[str, int], None]
"""Told which judge saw how many characters of the text; of one that gave no verdict that is not known: 0."""


def _unheard(judge: str, characters: int) -> None:
    """For who does not want to know."""


async def ask(
    seats: Sequence[Seat], direction: Direction, text: str, *, judged: Judged, saw: Saw = _unheard
) -> list[Finding]:
    """All of them at once."""
    outcomes = await asyncio.gather(*(_outcome(seat, direction, text, judged) for seat in seats))
    for seat, outcome in zip(seats, outcomes, strict=True):
        saw(seat.name, outcome.scanned if isinstance(outcome, Verdict) else 0)
    return [one for seat, outcome in zip(seats, outcomes, strict=True) for one in _findings(seat, outcome)]


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


def _findings(seat: Seat, outcome: Verdict | Failure) -> Iterator[Finding]:
    if isinstance(outcome, Failure):
        yield _no_verdict(seat, outcome.value)
        return
    finding = _objection(seat, outcome) if outcome.flagged else None
    if finding is not None:
        yield finding
    # What was not looked at matters where nothing was found, and where only what was found is to be replaced.
    if not outcome.whole and (not outcome.flagged or (finding is not None and finding.action == "redact")):
        yield _no_verdict(seat, PARTLY_SCANNED)


def _no_verdict(seat: Seat, why: str) -> Finding:
    return Finding(seat, "block" if seat.use.on_failure == "closed" else "flag", f"{NO_VERDICT}{why}", failed=True)


def _objection(seat: Seat, verdict: Verdict) -> Finding | None:
    wanted, action = seat.use.categories, seat.use.action
    named = [name for name, _ in sorted(verdict.categories.items(), key=lambda one: -one[1]) if _counts(name, wanted)]
    if wanted and not named:
        return None
    scores = {name: verdict.categories[name] for name in named} or {VIOLATION: 1.0}
    spans = tuple(one for one in verdict.spans if _counts(one.label, wanted)) if action == "redact" else ()
    if action == "redact" and not spans:
        action = "block"  # nobody says what to replace
    return Finding(seat, action, next(iter(scores)), scores=scores, spans=spans)


def _counts(category: str, wanted: Sequence[str]) -> bool:
    """No `wanted` ones are all; `a` is every `a/b` too."""
    return not wanted or category in wanted or category.partition("/")[0] in wanted
