"""A call's answer on its way past its judges: the shell around `passage`, with a passage for each choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec
from msgspec import UNSET

from server.call import Call
from server.moderation.cutter import Cutter
from server.moderation.edits import Edit, merged
from server.moderation.passage import Pace, Passage, Window
from server.openai.chat_request import choices_of
from server.openai.chunks import AnyChunk, Choice, TextChoice
from server.openai.ending import is_usage, last_chunk, usage_event
from server.openai.events import Batch, ChunkEvent, Event, TextEvent


class Ruling(NamedTuple):
    """Of all judges on a window: it must not leave, or may after these edits (merged) of its parts, by channel."""

    refused: bool
    edits: Mapping[str, Sequence[Edit]] = {}


def united(rulings: Iterable[Ruling]) -> Ruling:
    """Of several policies."""
    edits: dict[str, list[Edit]] = {}
    refused = False
    for ruling in rulings:
        refused = refused or ruling.refused
        for channel, of_one in ruling.edits.items():
            edits[channel] = merged((*edits.get(channel, ()), *of_one))
    return Ruling(refused, edits)


Judges = Callable[[int, Window, Callable[[Ruling], None]], None]
"""Asks about a window of a choice; the ruling comes later. What fails is not told here."""
NewCutter = Callable[[int, str], Cutter]


class Edited(Protocol):
    """The events with each channel of each choice edited (answers/moderated.py)."""

    def __call__(self, call: Call, new_editor: NewCutter, batch: Batch) -> Batch: ...


class Piece(NamedTuple):
    """An event of one choice, and its texts by channel, named as `answers.edit.NewEditor` does."""

    choice: int
    event: Event
    texts: Sequence[tuple[str, str]]
    last: bool  # the choice ends with it


class JudgedAnswer:
    """`feed` what comes and `finish` when no more does: both tell what leaves now. `leaves` hears what does later."""

    def __init__(self, call: Call, pace: Pace, judges: Judges, edited: Edited, leaves: Callable[[Batch], None]) -> None:
        self._call = call
        self._pace = pace
        self._judges = judges
        self._edited = edited
        self._leaves = leaves
        self._choices: dict[int, Passage[Event]] = {}
        self._ended: set[int] = set()  # choices of which no more will come
        self._refused: set[int] = set()
        self._tail: Batch = []  # of no choice: what ends the stream
        self._like: AnyChunk | None = None
        self._finished = False

    def feed(self, batch: Batch) -> Batch:
        out: Batch = []
        for piece in _pieces(batch):
            if isinstance(piece.event, ChunkEvent):
                self._like = piece.event.chunk
            if piece.choice in self._refused:
                continue
            passage = self._choices.setdefault(piece.choice, Passage(self._pace))
            passage.add(piece.event, piece.texts, last=piece.last)
            if piece.last:
                self._ended.add(piece.choice)
            out += self._moved(piece.choice, passage)
        self._tail += [one for one in batch if isinstance(one, ChunkEvent) and not one.chunk.choices]
        return out

    def finish(self) -> Batch:
        """The engine is done, or need not go on."""
        out: Batch = []
        self._finished = True
        for index, passage in self._choices.items():
            passage.close()
            out += self._moved(index, passage)
        return out + self._end() if self.over else out

    @property
    def over(self) -> bool:
        """The client has his whole answer but for what `finish` tells."""
        nothing_waits = all(passage.over for passage in self._choices.values())
        all_ended = len(self._ended) >= choices_of(self._call.body)
        return nothing_waits and (self._finished or (all_ended and bool(self._refused)))

    @property
    def crowded(self) -> bool:
        """The judges do not keep up."""
        return any(passage.crowded for passage in self._choices.values())

    def _moved(self, index: int, passage: Passage[Event]) -> Batch:
        window = passage.question()
        if window is not None:
            self._judges(index, window, partial(self._ruled, index))
        return passage.released()

    def _ruled(self, index: int, ruling: Ruling) -> None:
        passage = self._choices[index]
        if ruling.refused:
            self._leaves(self._refuse(index))
            return
        passage.passed()
        out = self._moved(index, passage)
        if ruling.edits:
            out = self._edited(self._call, lambda _, channel: Cutter(ruling.edits.get(channel, ())), out)
        self._leaves(out)

    def _refuse(self, index: int) -> Batch:
        out = self._choices.pop(index).opening()
        self._refused.add(index)
        self._ended.add(index)
        if self._like is not None:
            usage = None if self._call.include_usage else UNSET
            out.append(last_chunk(self._like, index, "content_filter", usage))
        return out

    def _end(self) -> Batch:
        """What ends the stream. Of an answer that was ended here it is ours to tell the usage."""
        out, self._tail = self._tail, []
        call, like = self._call, self._like
        shown = call.include_usage or not call.stream
        if self._refused and shown and like is not None and call.tokens is not None and not any(map(is_usage, out)):
            out.append(usage_event(call.tokens, like, estimated=call.estimated))
        return out


def _pieces(batch: Batch) -> Iterator[Piece]:
    """The events, each of one choice."""
    for event in batch:
        if isinstance(event, TextEvent):
            yield Piece(event.template.index, event, [(event.template.channel, event.plain())], last=False)
            continue
        choices: Sequence[Choice | TextChoice] = event.chunk.choices
        for choice in choices:
            alone = event if len(choices) == 1 else ChunkEvent(msgspec.structs.replace(event.chunk, choices=[choice]))
            yield Piece(choice.index, alone, _texts(choice), isinstance(choice.finish_reason, str))


def _texts(choice: Choice | TextChoice) -> list[tuple[str, str]]:
    if isinstance(choice, TextChoice):
        return [("content", choice.text)] if choice.text else []
    delta = choice.delta
    found = [("reasoning", delta.reasoning), ("content", delta.content or None), ("refusal", delta.refusal)]
    for position, call in enumerate(delta.tool_calls or ()):
        number = call.index if isinstance(call.index, int) else position
        if call.function is not None:
            found.append((f"tool_name/{number}", call.function.name))
            found.append((f"tool_arguments/{number}", call.function.arguments))
    return [(channel, text) for channel, text in found if text]
