"""What a policy does to one call: its request before it goes to an engine, and its answer while it comes."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from server.call import Call
from server.errors import ContentFiltered
from server.moderation.decisions import MOST_MATCHES, Decision, Excerpt, Match, Seen, Timings, Told, severest
from server.moderation.editor import RuleEditor
from server.moderation.edits import Edit, applied
from server.moderation.excerpts import Source, excerpts_of
from server.moderation.input import Hit, Inspection
from server.moderation.judged import Ruling
from server.moderation.jury import Finding, ask, asked, check_judged
from server.moderation.matches import Found, Stream
from server.moderation.normalise import first_bidi_override
from server.moderation.passage import JOINT, Window
from server.moderation.policy import Action, Channel, Direction, Rule
from server.moderation.ruleset import BIDI, BIDI_MESSAGE, Ruleset
from server.moderation.segments import Segment
from server.moderation.spans import edits_of, places

TOOL_ARGUMENTS, TOOL_NAME = "tool_arguments/", "tool_name/"


class Shown(NamedTuple):
    """One of the texts that judges are shown as one."""

    where: str
    channel: Channel
    text: str


def channel_of(name: str) -> Channel:
    """Of a part of an answer, as `answers.edit.NewEditor` names it. A function's name is looked at as arguments are."""
    if name.startswith((TOOL_ARGUMENTS, TOOL_NAME)):
        return "tool_arguments"
    return "reasoning" if name == "reasoning" else "content"


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
        excerpts = ruleset.policy.file.audit.excerpts
        chars = 0 if excerpts is None else excerpts.chars
        self.notes: Mapping[Direction, Notes] = {"input": Notes(secret, chars), "output": Notes(secret, chars)}
        self._input, self._output = self.notes.values()

    @property
    def ready(self) -> bool:
        """Whether nothing has to be built before texts can be looked at."""
        return self.ruleset.ready and self.output.ready

    def check_direction(self, segments: Sequence[Segment]) -> None:
        """Raises `ContentFiltered` for text that can be read in another order than it is written in."""
        for segment in segments:
            if self.ruleset.refuses_direction(segment.text):
                at = first_bidi_override(segment.text)
                self._input.saw(segment.channel, segment.text)
                match = Match(BIDI, BIDI, "block", "rules", segment.param, at, at + 1)
                self._input.note(match, Source((segment.text,)))
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
            rule, segment = self.ruleset.rules[hit.rule], inspection.segments[hit.segment]
            notes.score(0, rule.action, {rule.category: 1.0})
            notes.note(self._match(rule, hit, segment.param), Source((segment.text,)))
        refused = inspection.first("block") or inspection.unredactable()
        if refused is not None:
            segment = inspection.segments[refused.segment]
            raise ContentFiltered(self.ruleset.message(segment.text), param=segment.param)
        inspection.redact()

    def editor(self, index: int, channel: str) -> RuleEditor | None:
        """Of a choice's channel, as `answers.edit.NewEditor` names them; None where nothing is looked for."""
        name = channel_of(channel)
        where = f"choices[{index}].{channel}"

        of_name = channel.startswith(TOOL_NAME)
        rules = self.output.rules_of_names if of_name else self.output.rules
        pieces: list[str] = []

        def noted(found: Found) -> None:
            rule = rules[found.pattern]
            self._output.score(index, rule.action, {rule.category: 1.0})
            self._output.note(self._match(rule, found, where), Source(pieces))

        new_editor = self.output.name_editor if of_name else self.output.editor
        keep = pieces if self._output.chars else None
        return new_editor(name, noted, lambda stream: Watched(stream, name, self._output, keep))

    # Judges

    async def judge_request(self, segments: Sequence[Segment]) -> None:
        """Replaces what judges want replaced. Raises `ContentFiltered`, `ModerationUnavailable`."""
        shown = [Shown(one.param, one.channel, one.text) for one in segments]
        edits = await self._judged("input", shown, "messages")
        if edits is None or any(segments[part].put is None for part in edits):
            raise ContentFiltered(self.ruleset.message(JOINT.join(one.text for one in shown)))
        for part, of_one in edits.items():
            segment = segments[part]
            segment.text = applied(segment.text, of_one)
            if segment.put is not None:
                segment.put(segment.text)

    async def judge_window(self, index: int, window: Window) -> Ruling:
        """Of a choice of the answer. Raises `ModerationUnavailable`."""
        where = f"choices[{index}]"
        shown = [Shown(f"{where}.{name}", channel_of(name), text) for name, text in window.parts.items()]
        edits = await self._judged("output", shown, where, index, window.start)
        names = list(window.parts)
        if edits is None or any(names[part].startswith(TOOL_NAME) for part in edits):
            return Ruling(refused=True)
        return Ruling(refused=False, edits={names[part]: of_one for part, of_one in edits.items()})

    async def _judged(
        self, direction: Direction, shown: Sequence[Shown], where: str, index: int = 0, start: int = 0
    ) -> dict[int, list[Edit]] | None:
        """The edits of each text, merged; None if they must not go on."""
        notes, seats = self.notes[direction], (self.ruleset if direction == "input" else self.output).seats
        text = JOINT.join(one.text for one in shown)
        seats = asked(seats, direction, suspicious=bool(notes.matches)) if text else []
        begun = perf_counter()
        findings = await ask(seats, direction, text, judged=self._timings.judged, saw=partial(notes.judged, text))
        notes.judge_seconds += perf_counter() - begun
        cuts: dict[int, list[Edit]] = {}
        for found in findings:
            notes.score(index, found.action, found.scores)
            notes.failed = notes.failed or found.failed
            if not found.spans:
                match = _judged_match(found, found.category, where, start, start + len(text))
                notes.note(match, Source((text,), start))
            for span in found.spans:
                for part, first, last in places(span.start, span.end, [len(one.text) for one in shown], len(JOINT)):
                    match = _judged_match(found, span.label, shown[part].where, first, last)
                    notes.note(match, Source((shown[part].text,)))
                    cuts.setdefault(part, []).append(Edit(first, last, found.seat.use.replacement))
        check_judged(findings)
        if any(found.action == "block" for found in findings):
            return None
        return _edits(shown, cuts)

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
            notes.excerpts(),
        )


def _judged_match(found: Finding, category: str, where: str, start: int, end: int) -> Match:
    return Match(found.seat.name, category, found.action, found.seat.tier, where, start, end)


def _edits(shown: Sequence[Shown], cuts: Mapping[int, Sequence[Edit]]) -> dict[int, list[Edit]] | None:
    made: dict[int, list[Edit]] = {}
    for part, of_one in cuts.items():
        edits = edits_of(shown[part].text, of_one, in_json=shown[part].channel == "tool_arguments")
        if edits is None:
            return None
        made[part] = edits
    return made


class Notes:
    """What was seen and found in one direction."""

    def __init__(self, secret: bytes, chars: int) -> None:
        """`chars` are kept around each match; 0: nothing is."""
        self.chars = chars
        self.matches: list[Match] = []
        self._sources: list[Source] = []  # of the matches, where something is kept
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

    def note(self, match: Match, source: Source) -> None:
        if len(self.matches) >= MOST_MATCHES:
            self.more += 1
            return
        self.matches.append(match)
        if self.chars:
            self._sources.append(source)

    def excerpts(self) -> tuple[Excerpt, ...]:
        return excerpts_of(self.matches, self._sources, self.chars) if self.chars else ()


class Watched:
    """A stream of which it is noted what it saw, and how long it took to look."""

    def __init__(self, stream: Stream, channel: Channel, notes: Notes, kept: list[str] | None) -> None:
        """`kept` takes what it saw, where that is wanted."""
        self._kept = kept
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
        if self._kept is not None:
            self._kept.append(text)
        return found

    def finish(self) -> list[Found]:
        return self._stream.finish()
