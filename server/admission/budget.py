"""How many calls may be tried again. Pure: `now` is passed in, in seconds of any steady clock.

Engines that fail because they have too much to do must not get more for that. So tries are limited to a share of the
calls, as Finagle's RetryBudget and Envoy's retry budgets do, and a few more, without which a quiet service had none.
"""

from __future__ import annotations

SHARE = 0.1  # of the calls
FLOOR = 10.0  # tries in `FLOOR_S`, however few calls there are
FLOOR_S = 10.0
MOST = 100.0  # that can be saved up


class RetryBudget:
    def __init__(self) -> None:
        self._balance = FLOOR
        self._since = 0.0

    def called(self) -> None:
        """A call begins."""
        self._balance = min(MOST, self._balance + SHARE)

    def allows(self, now: float) -> bool:
        """Whether one may be tried again."""
        if self._balance < FLOOR:
            self._balance = min(FLOOR, self._balance + max(0.0, now - self._since) * FLOOR / FLOOR_S)
        self._since = now
        return self._balance >= 1.0

    def spend(self) -> None:
        """One is tried again."""
        self._balance -= 1.0
