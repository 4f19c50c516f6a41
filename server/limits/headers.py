"""The `x-ratelimit-*` headers: of all limits of one sort the one with the least left is shown, as OpenAI does."""

from __future__ import annotations

from collections.abc import Sequence

from server.call import Rate, RateState
from server.limits.plan import REQUESTS, TOKENS
from server.stores.base import Charge, Refused, Standing

Pair = tuple[Charge, Standing | Refused]


def rate_state(charges: Sequence[Charge], standings: Sequence[Standing | Refused]) -> RateState:
    """What the headers of a call's answer tell."""
    requests: Pair | None = None
    tokens: Pair | None = None
    for charge, standing in zip(charges, standings, strict=True):
        if charge.kind in REQUESTS:
            if requests is None or standing.remaining < requests[1].remaining:
                requests = charge, standing
        elif charge.kind in TOKENS and (tokens is None or standing.remaining < tokens[1].remaining):
            tokens = charge, standing
    return RateState(requests and _rate(*requests), tokens and _rate(*tokens))


def _rate(charge: Charge, standing: Standing | Refused) -> Rate:
    if isinstance(standing, Refused):
        return Rate(charge.limit, standing.remaining, standing.retry_after_s or 0.0, 0)
    return Rate(charge.limit, standing.remaining, standing.reset_s, charge.amount)
