"""A file of texts under two versions of a policy: which of them would be dealt with in another way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from server.config import ConfigError, read_bytes
from server.moderation.explain import Because, Explanation, explain
from server.moderation.policy import Channel, Direction
from server.moderation.ruleset import Ruleset

SHOWN = 72  # characters of a text, for people
JSON_LINES = (".jsonl", ".ndjson")


class WithText(msgspec.Struct):
    text: str


class Change(NamedTuple):
    """Of the text in a line of the file, from 1."""

    line: int
    text: str
    old: Explanation
    new: Explanation

    @property
    def kind(self) -> str:
        if self.old.verdict == self.new.verdict:
            return f"{self.old.verdict}, other spans"
        return f"{self.old.verdict} -> {self.new.verdict}"


class Replay:
    """`feed` it all texts. A text changes if its verdict does, or what is found where with which action."""

    def __init__(self, old: Ruleset, new: Ruleset, direction: Direction, channel: Channel) -> None:
        self._versions = (old, new)
        self._where: tuple[Direction, Channel] = (direction, channel)
        self.texts = 0
        self.changes: list[Change] = []

    def feed(self, line: int, text: str) -> None:
        old, new = (explain(one, text, *self._where) for one in self._versions)
        self.texts += 1
        if old.verdict != new.verdict or _spans(old) != _spans(new):
            self.changes.append(Change(line, text, old, new))

    def facts(self) -> dict[str, Any]:
        return {
            "texts": self.texts,
            "changed": len(self.changes),
            "kinds": dict(self._kinds().most_common()),
            "changes": [
                {
                    "line": one.line,
                    "text": one.text,
                    "old": {"verdict": one.old.verdict, "matches": [_match(each) for each in one.old.matches]},
                    "new": {"verdict": one.new.verdict, "matches": [_match(each) for each in one.new.matches]},
                }
                for one in self.changes
            ],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        for one in self.changes:
            yield f"line {one.line}: {one.kind}"
            yield f"    {_shortened(one.text)}"
            yield from _moved("-", one.old, one.new)
            yield from _moved("+", one.new, one.old)
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._kinds().most_common())
        yield f"{len(self.changes)} of {self.texts} texts change{f': {kinds}' if kinds else ''}."

    def _kinds(self) -> Counter[str]:
        return Counter(one.kind for one in self.changes)


def _spans(explanation: Explanation) -> set[tuple[int, int, str]]:
    return {_span(one) for one in explanation.matches}


def _span(match: Because) -> tuple[int, int, str]:
    return match.start, match.end, match.action


def _moved(sign: str, explanation: Explanation, other: Explanation) -> Iterator[str]:
    """What is found in one and not in the other."""
    there = _spans(other)
    for one in explanation.matches:
        if _span(one) not in there:
            yield f"    {sign} {one.start}-{one.end}  {one.action}  {one.rule} ({one.category}, {one.tier})"


def _match(one: Because) -> dict[str, Any]:
    return {
        "rule": one.rule, "category": one.category, "action": one.action, "tier": one.tier,
        "start": one.start, "end": one.end,
    }  # fmt: skip


def _shortened(text: str) -> str:
    return visible(text) if len(text) <= SHOWN else f"{visible(text[:SHOWN])}..."


def visible(text: str) -> str:
    """In one line, with what a terminal would not show, or would obey, as escapes."""
    return "".join([char if char.isprintable() else char.encode("unicode_escape").decode() for char in text])


def texts_in(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a file with the numbers of their lines; empty lines are none. Raises `ConfigError`."""
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    as_json = path.suffix in JSON_LINES
    for number, ended in enumerate(text.split("\n"), 1):
        if line := ended.removesuffix("\r"):
            yield number, _text_of(line, f"{path}, line {number}") if as_json else line


def _text_of(line: str, where: str) -> str:
    try:
        return msgspec.json.decode(line, type=WithText).text
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ConfigError(f'{where}: is no JSON object with a "text"') from None
