"""How long the refusal of a wrong key waits. A pure decider; the clock is passed in.

A flood of wrong keys must not take the time of those who have a good one. So refusals have a pace: what comes faster
waits its turn, on its own connection, where a client that guesses or insists waits too.
"""

from __future__ import annotations

from dataclasses import dataclass

PER_S = 500.0  # refusals, each about 30 µs of a worker
AT_ONCE_S = 0.1  # so much of them need not wait
LONGEST_S = 1.0


@dataclass(slots=True)
class Tarpit:
    """A virtual scheduler (GCRA, ITU-T I.371 annex A): each refusal takes 1 / PER_S of time."""

    _busy_until: float = 0.0

    def delay(self, now: float) -> float:
        """Seconds that this refusal waits; 0 for most."""
        wait = self._busy_until - now - AT_ONCE_S
        self._busy_until = min(max(self._busy_until, now) + 1 / PER_S, now + AT_ONCE_S + LONGEST_S)
        return max(0.0, wait)
