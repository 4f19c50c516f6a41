"""Function calls of a choice, numbered and named as OpenAI does where a make does not. Pure."""

from __future__ import annotations

from server.openai.chunks import FunctionDelta, ToolCallDelta


class Calls:
    """One for each choice. `begin` of an id that nobody else has makes the missing ids: `call_BEGIN_0`, ..."""

    def __init__(self, begin: str) -> None:
        self._begin = begin
        self._ids: list[str] = []  # by index

    def __bool__(self) -> bool:
        return bool(self._ids)

    def mend(self, calls: list[ToolCallDelta]) -> None:
        """Each delta gets the index of its call; the first of a call has its id, the others have none."""
        for call in calls:
            function = call.function = call.function or FunctionDelta()
            place = self._place(call, named=bool(function.name))
            if place is None:
                self._add(call, function)
            else:
                call.index = place
                call.id = call.type = function.name = None

    def new(self, name: str) -> ToolCallDelta:
        """The first delta of a call that a make wrote as text."""
        call = ToolCallDelta(function=FunctionDelta(name, ""))
        self._add(call, FunctionDelta(name, ""))
        return call

    def more(self, arguments: str) -> ToolCallDelta:
        """Of the last call."""
        return ToolCallDelta(max(0, len(self._ids) - 1), function=FunctionDelta(arguments=arguments))

    def _place(self, call: ToolCallDelta, *, named: bool) -> int | None:
        """The index of the call that this one continues; None if it begins one. An id tells, else index and name."""
        if call.id in self._ids:
            return self._ids.index(call.id)
        if call.id is not None or not self._ids:
            return None
        if isinstance(call.index, int):
            return call.index if call.index < len(self._ids) else None
        return None if named else len(self._ids) - 1

    def _add(self, call: ToolCallDelta, function: FunctionDelta) -> None:
        index = len(self._ids)
        call.index, call.type, call.function = index, "function", function
        call.id = call.id or f"call_{self._begin}_{index}"
        function.arguments = function.arguments or ""
        self._ids.append(call.id)
