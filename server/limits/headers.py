"""The `x-ratelimit-*` headers: of all limits of one sort the one with the least left is shown, as OpenAI does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.call import Rate, RateState
from server.limits.plan import REQUESTS, TOKENS
from server.stores.base import Charge, LimitKind, Refused, Standing


def rate_state(charges: Sequence[Charge], standings: Sequence[Standing | Refused]) -> RateState:
    """What the headers of a call's answer tell."""
    return RateState(_tightest(charges, standings, REQUESTS), _tightest(charges, standings, TOKENS))


def _tightest(
    charges: Sequence[Charge], standings: Sequence[Standing | Refused], kinds: frozenset[LimitKind]
) -> Rate | None:
    return min(_rates(charges, standings, kinds), key=lambda rate: rate.remaining, default=None)


def _rates(
    charges: Sequence[Charge], standings: Sequence[Standing | Refused], kinds: frozenset[LimitKind]
) -> Iterator[Rate]:
    for charge, standing in zip(charges, standings, strict=True):
        if charge.kind in kinds:
            if isinstance(standing, Refused):
                yield Rate(charge.limit, standing.remaining, standing.retry_after_s or 0.0, 0)
            else:
                yield Rate(charge.limit, standing.remaining, standing.reset_s, charge.amount)
