"""The names of functions that a choice calls. Should an engine send one in pieces, it leaves whole: when it can become
nothing that is looked for, or once it is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from server.openai.chunks import FunctionDelta, ToolCallDelta


class NameEditor(Protocol):
    """An `edit.Editor` that changes nothing: it lets go, holds, or ends the choice."""

    @property
    def ended(self) -> bool: ...

    @property
    def finish_reason(self) -> str: ...

    def feed(self, text: str) -> str: ...

    def finish(self) -> str: ...


class CallNames:
    """Of one choice. A name is over when arguments come, another call, or the end of the choice."""

    def __init__(self, new_editor: Callable[[int], NameEditor]) -> None:
        """`new_editor` makes one for the name of the N-th call."""
        self._new_editor = new_editor
        self._names: dict[int, str] = {}  # as far as they have come
        self._open: tuple[int, NameEditor] | None = None
        self._waiting = 0  # letters that it holds
        self._held: ToolCallDelta | None = None
        self.over: str | None = None
        """What the choice finishes with, once a name ends it."""

    def take(self, number: int, call: ToolCallDelta) -> list[ToolCallDelta]:
        """What may leave now, in its order: the call, with what was held of it, or nothing yet."""
        out = self.close() if self._open is not None and self._open[0] != number else []
        function = call.function
        if function is not None and function.name and self.over is None:
            self._feed(number, function.name)
        goes_on = function is None or not function.arguments
        if self._open is not None:
            call, self._held = _joined(self._held, call), None
            if not goes_on:
                self._end()
            elif self._waiting:
                self._held = call
                return out
        return [] if self.over is not None else [*out, call]

    def close(self) -> list[ToolCallDelta]:
        """The open name is over: what was held of its call."""
        if self._open is not None:
            self._end()
        held, self._held = self._held, None
        return [] if held is None or self.over is not None else [held]

    def _feed(self, number: int, name: str) -> None:
        if self._open is None:
            self._open, self._waiting = (number, self._new_editor(number)), 0
            before = self._names.get(number, "")  # there is one if arguments came within the name
            self._names[number] = before + name
            name = before + name
        else:
            self._names[number] += name
        editor = self._open[1]
        self._waiting += len(name) - len(editor.feed(name))
        if editor.ended:
            self._end()

    def _end(self) -> None:
        if self._open is None:
            return
        editor, self._open = self._open[1], None
        if not editor.ended:
            editor.finish()
        if editor.ended:
            self.over = editor.finish_reason


def _joined(held: ToolCallDelta | None, call: ToolCallDelta) -> ToolCallDelta:
    if held is None or held.function is None:
        return call
    more = call.function or FunctionDelta()
    name = (held.function.name or "") + (more.name or "")
    arguments = held.function.arguments if more.arguments is None else more.arguments
    return ToolCallDelta(held.index, held.id or call.id, held.type or call.type, FunctionDelta(name, arguments))
