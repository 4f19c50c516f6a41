"""Makes edits whose places are known before the text comes."""

from __future__ import annotations

from collections.abc import Sequence

from server.moderation.edits import Edit


class Cutter:
    """An `answers.edit.Editor` of a text that is known as a whole, and comes in parts. Holds nothing back."""

    finish_reason = ""
    ended = False

    def __init__(self, edits: Sequence[Edit]) -> None:
        """`edits` are merged."""
        self._edits = list(edits)
        self._at = 0

    def indifferent(self, escaped: bytes) -> bool:
        return not self._edits

    def feed(self, text: str) -> str:
        base, at, out = self._at, self._at, ""
        end = self._at = base + len(text)
        while self._edits and self._edits[0].start < end:
            edit = self._edits[0]
            if edit.start >= base:  # else it was replaced when it began
                out += text[at - base : edit.start - base] + edit.replacement
            at = min(edit.end, end)
            if edit.end > end:
                break
            del self._edits[0]
        return out + text[at - base :]

    def finish(self) -> str:
        return ""
