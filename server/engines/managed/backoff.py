"""How long to wait before an engine is started again. Pure."""

from __future__ import annotations


class Backoff:
    """1 s, 2 s, 4 s ... to 60 s; from the beginning again after an engine that was healthy for 5 minutes."""

    def __init__(self, first_s: float = 1.0, longest_s: float = 60.0, reset_after_s: float = 300.0) -> None:
        self._first = self._next = first_s
        self._longest = longest_s
        self._reset_after = reset_after_s

    def after(self, healthy_s: float) -> float:
        """Seconds to wait after an engine that was healthy for `healthy_s` (0 for one that never was)."""
        if healthy_s >= self._reset_after:
            self._next = self._first
        wait, self._next = self._next, min(self._longest, self._next * 2)
        return wait
