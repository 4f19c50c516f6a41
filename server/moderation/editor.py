"""What a policy's rules do to a text that comes in parts: not one character of what is cut leaves.

The whole text is the measure: what leaves is, for any split of it, what would have left if it had come at once.

- redact: the matches are replaced, with the combining marks behind them; of overlapping ones it is one
  (`edits.extended`, `edits.merged`).
- block: nothing leaves from the first character of the first such match on. The answer goes on being read until it is
  certain that none begins before, which takes a few characters.
- flag and shadow change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from server.moderation.edits import Edit, applied, extended, merged
from server.moderation.matches import Found, Stream
from server.moderation.policy import Rule

Noted = Callable[[Found], None]
"""Told of every match, whatever its action; `Found.pattern` is the index of the rule."""


class RuleEditor:
    """An `answers.edit.Editor`. `stream` tells of matches by the indexes of `rules`."""

    finish_reason = "content_filter"

    def __init__(self, stream: Stream, rules: Sequence[Rule], noted: Noted, *, in_json: bool = False) -> None:
        self._stream = stream
        self._in_json = in_json
        self._rules = rules
        self._noted = noted
        self._held = ""
        self._base = 0  # offset of what is held
        self._edits: list[Edit] = []  # none has left
        self._cut = inf  # where the first match begins that blocks
        self.ended = False

    def indifferent(self, escaped: bytes) -> bool:
        return False

    def feed(self, text: str) -> str:
        found = self._stream.feed(text)
        if found:
            self._note(found)
        hold_from = self._stream.hold_from
        if not (self._held or self._edits) and self._cut == inf and hold_from == self._base + len(text):
            self._base = hold_from
            return text  # which is nearly always so
        self._held += text
        return self._release(hold_from, last=False)

    def finish(self) -> str:
        self._note(self._stream.finish())
        return self._release(self._base + len(self._held), last=True)

    def _note(self, found: Sequence[Found]) -> None:
        for match in found:
            rule = self._rules[match.pattern]
            if rule.action == "block":
                self._cut = min(self._cut, match.start)
            elif rule.action == "redact":
                self._edits.append(Edit(match.start, match.end, rule.replacement, match.pattern))
            self._noted(match)

    def _release(self, upto: int, *, last: bool) -> str:
        """What lies before `upto` and can neither be cut nor become part of an edit any more."""
        end = self._base + len(self._held)
        if self._cut <= upto:
            self.ended = True
            upto = int(self._cut)
        whole = extended(self._edits, self._held, self._base, in_json=self._in_json, last=last)
        edits = merged(whole)  # now: a later one decides too with what an overlap of several is replaced
        if self.ended:
            # An edit across the cut begins before it: its replacement stands for what of it lies there.
            edits = [one._replace(end=min(one.end, upto)) for one in edits if one.start < upto]
        elif unfinished := next((one for one in edits if one.end > upto or (one.end == end and not last)), None):
            upto = min(upto, unfinished.start)
            edits = [one for one in edits if one.end <= upto]
        self._edits = [one for one in self._edits if one.start >= upto]
        text, self._held = self._held[: upto - self._base], self._held[upto - self._base :]
        base, self._base = self._base, upto
        return applied(text, edits, base)
