"""What was decided about a call, told once when it has ended: for the audit log and the metrics. Never the text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


class Decision(Struct, frozen=True):
    """About the input or the output of one call, under one policy. `scanned`: characters that were seen, by channel."""

    call_id: str
    project_id: str
    key_id: str
    policy: str
    policy_version: int
    policy_hash: str
    direction: Direction
    action: Action  # the most severe that was taken
    matches: tuple[Match, ...]
    more: int  # matches beyond those
    scanned: Mapping[Channel, int]
    ms: float  # of looking, not of waiting for the text
    text_hmac: str  # of all that was seen, with the server's secret
    trace_id: str | None = None


class Told(Protocol):
    """Who hears of decisions."""

    def __call__(self, decision: Decision) -> None: ...


class Timings(Protocol):
    """Who hears how long it took to look, once for each call and direction, and for each question to a judge."""

    def scanned(self, direction: Direction, characters: int, seconds: float) -> None: ...

    def judged(self, judge: str, seconds: float) -> None: ...


SEVERITY: Mapping[Action, int] = {"shadow": 0, "flag": 1, "redact": 2, "block": 3}


def severest(actions: Iterable[Action]) -> Action:
    """Of at least one."""
    return max(actions, key=SEVERITY.__getitem__)
