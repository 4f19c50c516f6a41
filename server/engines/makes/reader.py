"""The stream of an engine of another make: as `openai/reader.py`, without what makes vLLM's cheap."""

from __future__ import annotations

from server.engines.makes.answer import MendedAnswer
from server.openai.events import Batch
from server.openai.reader import EngineAnswerError
from server.openai.sse import SseDecoder


class MendingReader:
    """Feed it the body of a streamed answer. `done` once the engine said [DONE]."""

    def __init__(self, answer: MendedAnswer) -> None:
        self._answer = answer
        self._frames = SseDecoder()
        self.done = False
        self.failure: EngineAnswerError | None = None

    def feed(self, data: bytes) -> Batch:
        """Events completed by `data`. Raises `EngineAnswerError`."""
        try:
            payloads = self._frames.feed(data)
        except ValueError as error:
            raise EngineAnswerError(str(error)) from None
        events: Batch = []
        for payload in payloads:
            if payload.strip() == b"[DONE]":
                self.done = True
                return events + self._answer.end()
            try:
                events += self._answer.event(payload)
            except EngineAnswerError as error:
                if not events:
                    raise
                self.failure = error
                break
        return events

    def end(self) -> Batch | None:
        """Not every make says [DONE]: the last events, or None if a choice is not at its end."""
        if not self._answer.complete:
            return None
        self.done = True
        return self._answer.end()
