"""What was decided about a call, told once when it has ended: for the audit log and the metrics. Never the text, but
for excerpts where a policy has them kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from server.moderation.policy import Action, Channel, Direction

Tier = Literal["rules", "classifier", "judge"]
MOST_MATCHES = 100  # of one rule in one text; more are counted


class Match(Struct, frozen=True):
    """Of a rule: where in the request or answer, and which characters."""

    rule: str
    category: str
    action: Action
    tier: Tier
    where: str  # a parameter of the request, or choices[0].content
    start: int
    end: int


class Excerpt(Struct, frozen=True):
    """`text` stands in the place that the match names, from character `start` on."""

    match: int  # index into the decision's matches
    start: int
    text: str


class Seen(Struct, frozen=True):
    """Of the texts that a judge was asked about, in characters. Of the others it is not known what is in them."""

    characters: int
    of: int


class Decision(Struct, frozen=True):
    """About the input or the output of one call, under one policy."""

    call_id: str
    project_id: str
    key_id: str
    policy: str
    policy_version: int
    policy_hash: str
    direction: Direction
    action: Action | Literal["pass"]  # the most severe that was taken; pass: nothing was found
    matches: tuple[Match, ...]
    more: int  # matches beyond those
    scanned: Mapping[Channel, int]  # characters that the rules saw
    judged: Mapping[str, Seen]  # by the judge's name
    ms: float  # of looking, not of waiting for the text
    judge_ms: float  # of waiting for judges
    text_hmac: str  # of all that the rules saw and then all that judges were shown, with the server's secret
    trace_id: str | None = None
    excerpts: tuple[Excerpt, ...] = ()  # text: to be kept encrypted and told nowhere


Told = Callable[[Decision], None]
"""Hears of decisions."""


class Timings(Protocol):
    """Who hears how long it took to look, once for each call and direction, and for each question to a judge."""

    def scanned(self, direction: Direction, characters: int, seconds: float) -> None: ...

    def judged(self, judge: str, seconds: float) -> None: ...


SEVERITY: Mapping[Action, int] = {"shadow": 0, "flag": 1, "redact": 2, "block": 3}


def severest(actions: Iterable[Action]) -> Action | Literal["pass"]:
    some = tuple(actions)
    return max(some, key=SEVERITY.__getitem__) if some else "pass"
