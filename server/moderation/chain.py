"""Several editors of one text, one after the other: each sees what the one before lets leave."""

from __future__ import annotations

from collections.abc import Sequence

from server.moderation.editor import RuleEditor


class Chain:
    """An `answers.edit.Editor`. Without any, all passes."""

    finish_reason = "content_filter"

    def __init__(self, editors: Sequence[RuleEditor]) -> None:
        self._editors = editors
        self.ended = False

    def indifferent(self, escaped: bytes) -> bool:
        return not self._editors

    def feed(self, text: str) -> str:
        return self._through(text, last=False)

    def finish(self) -> str:
        return self._through("", last=True)

    def _through(self, text: str, *, last: bool) -> str:
        for editor in self._editors:
            text = editor.feed(text)
            if last and not editor.ended:
                text += editor.finish()
            if editor.ended:
                self.ended = last = True  # nothing more comes to those after it
        return text
