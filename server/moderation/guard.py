"""What a policy does to one call: its request before it goes to an engine, and its answer while it comes."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter

from server.call import Call
from server.errors import ContentFiltered
from server.moderation.decisions import MOST_MATCHES, Decision, Match, Seen, Timings, Told, severest
from server.moderation.editor import RuleEditor
from server.moderation.input import Hit, Inspection
from server.moderation.jury import Finding, ask, check_judged
from server.moderation.matches import Found, Stream
from server.moderation.normalise import first_bidi_override
from server.moderation.policy import Action, Channel, Direction, Rule
from server.moderation.ruleset import BIDI, BIDI_MESSAGE, CUTS, Ruleset
from server.moderation.segments import Segment

TOOL_ARGUMENTS = "tool_arguments/"


JOINT = "\n\n"  # between the texts that a judge is shown as one


class Guard:
    """One policy over one call. `inspect` its texts, then `editor` for each channel of each choice, then `close`."""

    def __init__(
        self,
        ruleset: Ruleset,
        call: Call,
        secret: bytes,
        told: Told,
        timings: Timings,
        output: Ruleset | None = None,
        *,
        everything: bool = False,
    ) -> None:
        """`output`: the same policy as it acts upon the answer, where that is otherwise than upon the request.

        With `everything` it is told as well that nothing was found.
        """
        self.ruleset = ruleset
        self.output = output or ruleset
        self._call = call
        self._told = told
        self._timings = timings
        self._everything = everything
        self._decoding = ruleset.policy.file.decode
        self.notes: Mapping[Direction, Notes] = {"input": Notes(secret), "output": Notes(secret)}
        self._input, self._output = self.notes.values()

    def check_direction(self, segments: Sequence[Segment]) -> None:
        """Raises `ContentFiltered` for text that can be read in another order than it is written in."""
        for segment in segments:
            if self.ruleset.refuses_direction(segment.text):
                at = first_bidi_override(segment.text)
                self._input.saw(segment.channel, segment.text)
                self._input.note(Match(BIDI, BIDI, "block", "rules", segment.param, at, at + 1))
                raise ContentFiltered(BIDI_MESSAGE, param=segment.param)

    def inspection(self, segments: list[Segment]) -> Inspection:
        """Of the request; look through it in `steps`, then `decide`."""
        return Inspection(segments, self.ruleset.screens("input"), self.ruleset.rules, self._decoding)

    def steps(self, inspection: Inspection) -> Iterator[None]:
        """Those of the inspection, with a note of the time that they take."""
        steps = inspection.steps()
        while True:
            begun = perf_counter()
            try:
                next(steps)
            except StopIteration:
                return
            finally:
                self._input.seconds += perf_counter() - begun
            yield

    def decide(self, inspection: Inspection) -> None:
        """Refuse the request or replace what is to be replaced. Raises `ContentFiltered`."""
        notes, screens = self._input, self.ruleset.screens("input")
        for segment in inspection.segments:
            if segment.channel in screens:
                notes.saw(segment.channel, segment.text)
        for hit in inspection.hits:
            rule = self.ruleset.rules[hit.rule]
            notes.score(0, rule.action, {rule.category: 1.0})
            notes.note(self._match(rule, hit, inspection.segments[hit.segment].param))
        refused = inspection.first("block") or inspection.unredactable()
        if refused is not None:
            segment = inspection.segments[refused.segment]
            raise ContentFiltered(self.ruleset.message(segment.text), param=segment.param)
        inspection.redact()

    def editor(self, index: int, channel: str) -> RuleEditor | None:
        """Of a choice's channel, as `answers.edit.NewEditor` names them; None where nothing is looked for."""
        raw = channel.startswith(TOOL_ARGUMENTS)
        name: Channel = "tool_arguments" if raw else "reasoning" if channel == "reasoning" else "content"
        where = f"choices[{index}].{channel}"

        def noted(found: Found) -> None:
            rule = self.output.rules[found.pattern]
            self._output.score(index, rule.action, {rule.category: 1.0})
            self._output.note(self._match(rule, found, where))

        return self.output.editor(name, noted, lambda stream: Watched(stream, name, self._output))

    # Judges

    async def judge_request(self, segments: Sequence[Segment]) -> None:
        """Raises `ContentFiltered`, `ModerationUnavailable`."""
        text = JOINT.join(one.text for one in segments)
        for finding in await self._asked("input", text):
            if finding.action in CUTS:
                raise ContentFiltered(self.ruleset.message(text))

    async def judge_answer(self, texts: Mapping[int, Mapping[str, str]]) -> dict[int, str]:
        """The choices that must not leave, with the category. Raises `ModerationUnavailable`."""
        refused: dict[int, str] = {}
        for index, channels in texts.items():
            for finding in await self._asked("output", JOINT.join(channels.values()), index):
                if finding.action in CUTS:
                    refused[index] = finding.category
        return refused

    async def _asked(self, direction: Direction, text: str, index: int = 0) -> list[Finding]:
        notes, seats = self.notes[direction], (self.ruleset if direction == "input" else self.output).seats
        where = "messages" if direction == "input" else f"choices[{index}]"
        begun = perf_counter()
        found = await ask(
            seats,
            direction,
            text,
            suspicious=bool(notes.matches),
            judged=self._timings.judged,
            saw=partial(notes.judged, text),
        )
        notes.judge_seconds += perf_counter() - begun
        for one in found:
            notes.score(index, one.action, one.scores)
            notes.failed = notes.failed or one.failed
            action = "block" if one.action in CUTS else one.action
            notes.note(Match(one.seat.name, one.category, action, one.seat.tier, where, 0, len(text)))
        check_judged(found)
        return found

    def requested(self) -> None:
        """The request may go on: tell what was decided about it, so that it is known however the call ends."""
        self._tell("input", self._input)

    def close(self) -> None:
        """The call has ended: tell what was decided and has not been told."""
        self._tell_time("input", self._input)
        self._tell_time("output", self._output)
        self._tell("input", self._input)
        self._tell("output", self._output)

    def _tell(self, direction: Direction, notes: Notes) -> None:
        if not notes.told and (notes.matches or (self._everything and notes.looked)):
            notes.told = True
            self._told(self._decision(direction, notes))

    def _tell_time(self, direction: Direction, notes: Notes) -> None:
        if notes.scanned:
            self._timings.scanned(direction, notes.scanned.total(), notes.seconds)

    def _match(self, rule: Rule, found: Found | Hit, where: str) -> Match:
        return Match(rule.id, rule.category, rule.action, "rules", where, found.start, found.end)

    def _decision(self, direction: Direction, notes: Notes) -> Decision:
        call, policy = self._call, self.ruleset.policy
        return Decision(
            call.id,
            call.key.project.id,
            call.key.id,
            policy.name,
            policy.file.version,
            policy.hash,
            direction,
            severest(one.action for one in notes.matches),
            tuple(notes.matches),
            notes.more,
            notes.scanned,
            {name: Seen(*seen) for name, seen in notes.by_judge.items()},
            round(notes.seconds * 1000, 3),
            round(notes.judge_seconds * 1000, 3),
            notes.hmac(),
            call.trace_id,
        )


class Notes:
    """What was seen and found in one direction."""

    def __init__(self, secret: bytes) -> None:
        self.matches: list[Match] = []
        self.more = 0
        self.scanned: Counter[Channel] = Counter()
        self.by_judge: dict[str, tuple[int, int]] = {}  # characters that it saw, of how many
        self.seconds = 0.0
        self.judge_seconds = 0.0
        self.told = False
        self.scores: dict[int, dict[str, float]] = {}  # by choice, of each category that was found
        self.failed = False  # a judge gave no verdict
        self._secret = secret
        self._texts: list[str] = []
        self._shown: dict[str, None] = {}  # to judges, each text once

    def saw(self, channel: Channel, text: str) -> None:
        self.scanned[channel] += len(text)
        self._texts.append(text)

    def judged(self, text: str, name: str, characters: int) -> None:
        seen, of = self.by_judge.get(name, (0, 0))
        self.by_judge[name] = (seen + characters, of + len(text))
        self._shown[text] = None

    @property
    def looked(self) -> bool:
        """Whether anything was looked at."""
        return bool(self.scanned or self.by_judge)

    def score(self, index: int, action: Action, scores: Mapping[str, float]) -> None:
        """What is on trial counts nothing."""
        if action != "shadow":
            mine = self.scores.setdefault(index, {})
            for category, value in scores.items():
                mine[category] = max(value, mine.get(category, 0.0))

    def hmac(self) -> str:
        """Over all that rules saw, and then all that judges were shown.

        It proves what a decision was about to who has the text and the server's secret.
        """
        whole = "".join((*self._texts, *self._shown)).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, whole, "sha256").hexdigest()

    def note(self, match: Match) -> None:
        if len(self.matches) < MOST_MATCHES:
            self.matches.append(match)
        else:
            self.more += 1


class Watched:
    """A stream of which it is noted what it saw, and how long it took to look."""

    def __init__(self, stream: Stream, channel: Channel, notes: Notes) -> None:
        self._stream = stream
        self._channel: Channel = channel
        self._notes = notes

    @property
    def hold_from(self) -> int:
        return self._stream.hold_from

    def feed(self, text: str) -> list[Found]:
        begun = perf_counter()
        found = self._stream.feed(text)
        self._notes.seconds += perf_counter() - begun
        self._notes.saw(self._channel, text)
        return found

    def finish(self) -> list[Found]:
        return self._stream.finish()
