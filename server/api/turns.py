"""Long work on the event loop: in steps, between which the other requests have their turn."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from server.moderation.explain import Steps, whole
from server.moderation.moderator import AT_ONCE

T = TypeVar("T")
MOST_CHARACTERS = 1_000_000
"""Of texts in one request whose only purpose is to have them looked at."""


class Turns:
    """One long work at a time, so that several do not add up; short work does not wait for it."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()

    async def take(self, steps: Steps[T], size: int) -> T:
        """The outcome of `steps` over `size` characters."""
        if size <= AT_ONCE:
            return whole(steps)
        async with self._one:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
                await asyncio.sleep(0)
