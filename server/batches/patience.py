"""Whether a line is tried again, and when: a batch has time, and waits where a client would be refused. Pure."""

from __future__ import annotations

from server.errors import (
    EngineFailure,
    EngineOverloaded,
    EngineUnavailable,
    GatewayError,
    InsufficientQuota,
    ModerationUnavailable,
    ShuttingDown,
    StoreUnavailable,
    TooManyRequests,
)

TRIES = 3  # of a line that an engine fails
SHORTEST_S, LONGEST_S = 0.5, 30.0
WAITS = (EngineOverloaded, EngineUnavailable, ModerationUnavailable, ShuttingDown, StoreUnavailable, TooManyRequests)


def wait_s(error: GatewayError, tries: int) -> float | None:
    """Seconds until a line that met `error` in its try number `tries` is tried again; None if that is its answer."""
    if isinstance(error, TooManyRequests) and not isinstance(error, InsufficientQuota) and error.retry_after is None:
        return None  # more than a limit allows at all
    if isinstance(error, WAITS):
        asked = error.retry_after if error.retry_after is not None else 2.0**tries / 4
        return min(LONGEST_S, max(SHORTEST_S, asked))
    if isinstance(error, EngineFailure) and tries < TRIES:
        return min(LONGEST_S, 2.0**tries / 2)
    return None


class Patience:
    """Of one batch. After a refusal nothing starts until the wait is over, or until one of its lines was answered:
    what that held is free then.
    """

    def __init__(self) -> None:
        self._until = 0.0

    def refused(self, now: float, wait: float) -> None:
        self._until = max(self._until, now + wait)

    def answered(self) -> None:
        self._until = 0.0

    def allows(self, now: float) -> bool:
        return now >= self._until
