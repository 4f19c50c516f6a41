"""What a stage is: a pure transform of one call's answer, without IO and without an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from server.call import Call
from server.openai.events import Batch


class Stage(Protocol):
    """Made for one call. The gateway feeds it every batch, in order; none is empty."""

    ended: bool
    """The answer is complete for the client: the engine need not go on."""

    def feed(self, batch: Batch) -> Batch:
        """What leaves now; empty if all of it is held or dropped."""
        ...


NewStage = Callable[[Call], Stage | None]
"""None for a call that the stage has nothing to do with."""
