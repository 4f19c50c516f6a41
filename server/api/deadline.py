"""One timer for all of a connection's deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `passed` once the latest `set` has been left alone for its time.

    The timer is left to run when the deadline is dropped or put off: keeping it exact would cost every request a timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._when: float | None = None  # in the loop's time
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def is_set(self) -> bool:
        return self._when is not None

    def set(self, seconds: float) -> None:
        """In place of whatever was set."""
        self._when = when = self._loop.time() + seconds
        if self._timer is None or when < self._timer_at:
            self._arm(when)

    def drop(self) -> None:
        self._when = None

    def stop(self) -> None:
        """For good: nothing refers to the connection any more."""
        self._when = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._when is None:
            return
        if self._loop.time() < self._when:
            self._arm(self._when)
        else:
            self._when = None
            self._passed()
