"""What a policy makes of one text, and why: for the command line, the administration and /v1/moderations alike.

Pure, so judges are not asked: `Explanation.not_asked` names those that a call would have asked.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Literal, TypeVar

from msgspec import Struct

from server.moderation.decisions import Tier, severest
from server.moderation.input import NO_DECODING, STEP, Hit, Inspection
from server.moderation.matches import Found
from server.moderation.normalise import first_bidi_override
from server.moderation.policy import Action, Channel, Direction
from server.moderation.ruleset import BIDI, BIDI_MESSAGE, Ruleset
from server.moderation.segments import Segment

"""Rule and category of characters that override the direction, which no rule of the file names."""

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps of about `input.STEP` characters, with its outcome at the end."""
Verdict = Literal[Action, "pass"]


class Because(Struct, frozen=True):
    """One match: `rule` found `text` at `start` to before `end` of the part that `part` counts, from 0."""

    part: int
    rule: str
    category: str
    action: Action
    tier: Tier
    start: int
    end: int
    text: str


class Explanation(Struct, frozen=True):
    """Of the texts under one policy. `verdict` is the most severe action of a match."""

    policy: str
    version: int
    hash: str
    direction: Direction
    channel: Channel
    verdict: Verdict
    matches: tuple[Because, ...]
    leaves: tuple[str, ...] | None  # what goes on of each part; of an answer that is blocked the beginning
    message: str | None  # what the caller is told
    not_asked: tuple[str, ...]  # engines of judges

    @property
    def cuts(self) -> bool:
        """What leaves is not what came."""
        return self.verdict in ("block", "redact")


def explain(ruleset: Ruleset, text: str, direction: Direction, channel: Channel) -> Explanation:
    """Of one text, as it would stand in a request or an answer."""
    return whole(explaining(ruleset, (text,), direction, channel))


def explaining(ruleset: Ruleset, parts: Sequence[str], direction: Direction, channel: Channel) -> Steps[Explanation]:
    """The same in steps, also of several texts that belong together, as the parts of a message do."""
    segments = [Segment(f"input[{index}]", channel, text, _nowhere) for index, text in enumerate(parts)]
    decoding = ruleset.policy.file.decode if direction == "input" else NO_DECODING
    inspection = Inspection(segments, ruleset.screens(direction), ruleset.rules, decoding)
    yield from inspection.steps()
    matches = [_because(ruleset, hit, parts) for hit in inspection.hits]
    if direction == "input":
        matches = [*_backwards(ruleset, parts), *matches]
    verdict: Verdict = severest(one.action for one in matches) if matches else "pass"
    leaves: list[str] | None = None
    if direction == "output":
        leaves = []
        for text in parts:
            leaves.append((yield from _answered(ruleset, text, channel)))
    elif verdict != "block":
        inspection.redact()
        leaves = [one.text for one in segments]
    policy = ruleset.policy
    return Explanation(
        policy.name,
        policy.file.version,
        policy.hash,
        direction,
        channel,
        verdict,
        tuple(matches),
        None if leaves is None else tuple(leaves),
        _message(ruleset, matches, parts) if leaves is None else None,
        tuple([judge.engine for judge in policy.file.judges if direction in judge.directions]),
    )


def whole(steps: Steps[T]) -> T:
    """All steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _because(ruleset: Ruleset, hit: Hit, parts: Sequence[str]) -> Because:
    rule, text = ruleset.rules[hit.rule], parts[hit.segment]
    found = text[hit.start : hit.end]
    return Because(hit.segment, rule.id, rule.category, rule.action, "rules", hit.start, hit.end, found)


def _backwards(ruleset: Ruleset, parts: Sequence[str]) -> list[Because]:
    """The first override in each part, where the policy refuses them; a request with one is refused for it alone."""
    found: list[Because] = []
    for index, text in enumerate(parts):
        if ruleset.refuses_direction(text):
            at = first_bidi_override(text)
            found.append(Because(index, BIDI, BIDI, "block", "rules", at, at + 1, text[at]))
    return found


def _message(ruleset: Ruleset, matches: Sequence[Because], parts: Sequence[str]) -> str:
    refused = next(one for one in matches if one.action == "block")
    return BIDI_MESSAGE if refused.rule == BIDI else ruleset.message(parts[refused.part])


def _answered(ruleset: Ruleset, text: str, channel: Channel) -> Steps[str]:
    """What leaves of an answer."""
    editor = ruleset.editor(channel, _noted)
    if editor is None:
        return text
    left: list[str] = []
    for start in range(0, len(text), STEP):
        left.append(editor.feed(text[start : start + STEP]))
        yield
        if editor.ended:
            return "".join(left)
    return "".join((*left, editor.finish()))


def _nowhere(_: str) -> None:
    """The parts stand in no request."""


def _noted(_: Found) -> None:
    """The inspection has told of it."""
