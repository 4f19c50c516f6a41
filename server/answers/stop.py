"""Stop texts. vLLM leaves them in harmony output and lets them end the reasoning too; OpenAI does neither.

So the engine is not told of them: the gateway looks for them in the content, cuts there and ends the engine's work.
"""

from __future__ import annotations

from collections.abc import Callable

from server.answers.edit import EditStage, on_content
from server.answers.stage import Stage
from server.call import Call
from server.openai.chat_request import ChatRequest


class StopScanner:
    """Holds back exactly the longest end of the text that could still become a stop text."""

    finish_reason = "stop"

    def __init__(self, stops: list[str], found: Callable[[str], None], *, include: bool = False) -> None:
        """`found` is told which of `stops` ended the text."""
        self._stops = stops
        self._found = found
        self._include = include  # the stop text leaves with the answer
        self._longest = max(map(len, stops))
        self._held: str = ""
        self.ended = False

    def indifferent(self, escaped: bytes) -> bool:
        return False

    def feed(self, text: str) -> str:
        if self.ended:
            return ""
        text = self._held + text
        # The one that is complete first, as if the text had come letter by letter: no cut changes the outcome.
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.ended = True
            self._held = ""
            end, start, stop = min(found)
            self._found(stop)
            return text[: end if self._include else start]
        keep = self._could_become(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        held, self._held = self._held, ""
        return held

    def _could_become(self, text: str) -> int:
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0


def stop_texts(call: Call) -> Stage | None:
    """The stage, for chat completions with stop texts."""
    body = call.body
    if not isinstance(body, ChatRequest) or not body.stop:
        return None
    stops = [body.stop] if isinstance(body.stop, str) else body.stop
    include = bool(body.include_stop_str_in_output)

    def found(text: str) -> None:
        call.stop_text = text

    return EditStage(call, on_content(lambda: StopScanner(stops, found, include=include)), body.n or 1)
