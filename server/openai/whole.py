"""An answer that is one body, whoever it is for."""

from __future__ import annotations

from server.call import Call
from server.errors import EngineFailure
from server.openai.collect import Collecting
from server.openai.events import Batch


class Whole:
    """The part of a `gateway.Answer` that collects. `_complete` is told the body; the rest is for who has a client."""

    _call: Call
    _collector: Collecting

    def feed(self, batch: Batch) -> None:
        for event in batch:
            self._collector.feed(event)

    def beat(self, now: float) -> None:
        """Nothing can be told before the end."""

    def end(self) -> None:
        body = self._collector.body()
        if body is None:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        self._call.status = 200
        self._complete(body)

    def _complete(self, body: bytes) -> None:
        raise NotImplementedError
