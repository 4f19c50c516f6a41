"""How the answer to a line is collected: as one body, or the error in its place."""

from __future__ import annotations

from collections.abc import Callable

from server.call import Call
from server.errors import GatewayError
from server.openai.collect import Collecting
from server.openai.whole import Whole

Ended = Callable[[bytes | GatewayError], None]


class LineAnswer(Whole):
    """See `gateway.Answer`. `ended` hears once how it ended, unless the call is left."""

    def __init__(self, call: Call, collector: Collecting, ended: Ended) -> None:
        self._call = call
        self._collector = collector
        self._ended = ended

    def fail(self, error: GatewayError) -> None:
        self._call.status = error.status
        self._ended(error)

    def stalled(self, now: float) -> bool:
        """Nobody waits."""
        return False

    def drop(self) -> None:
        """Nothing holds it up."""

    def _complete(self, body: bytes) -> None:
        self._ended(body)


def collected(collector: Callable[[], Collecting]) -> Callable[[Call, Ended], LineAnswer]:
    """For lines whose answers need to know nothing of their requests."""
    return lambda call, ended: LineAnswer(call, collector(), ended)
