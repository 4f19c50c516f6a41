"""How the answer to a line is collected: as one body, or the error in its place."""

from __future__ import annotations

from collections.abc import Callable

from server.call import Call
from server.errors import EngineFailure, GatewayError
from server.openai.collect import Collecting
from server.openai.events import Batch


class LineAnswer:
    """See `gateway.Answer`. `ended` hears once how it ended, unless the call is left."""

    def __init__(self, call: Call, collector: Collecting, ended: Callable[[bytes | GatewayError], None]) -> None:
        self._call = call
        self._collector = collector
        self._ended = ended

    def feed(self, batch: Batch) -> None:
        for event in batch:
            self._collector.feed(event)

    def beat(self, now: float) -> None:
        """Nobody waits."""

    def end(self) -> None:
        body = self._collector.body()
        if body is None:
            raise EngineFailure("The engine sent an empty answer.")
        self._call.status = 200
        self._ended(body)

    def fail(self, error: GatewayError) -> None:
        self._call.status = error.status
        self._ended(error)

    def stalled(self, now: float) -> bool:
        return False

    def drop(self) -> None:
        """Nothing holds it up."""
