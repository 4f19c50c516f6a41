"""The `x-ratelimit-*` headers: of all limits of one sort the one with the least left is shown, as OpenAI does."""

from __future__ import annotations

from collections.abc import Sequence

from server.call import Rate, RateState
from server.limits.plan import REQUESTS, TOKENS, Plan
from server.stores.base import Quota, Refused, Taken


def rate_state(plan: Plan, amounts: Sequence[int], taken: Taken) -> RateState:
    """What the headers of a call's answer tell."""
    return RateState(
        _tightest(plan.requests, plan, amounts, taken) if plan.requests else None,
        _tightest(plan.tokens, plan, amounts, taken) if plan.tokens else None,
    )


def rate_state_of_refusal(quota: Quota, refused: Refused) -> RateState:
    """Of the limit that was in the way."""
    rate = Rate(quota.limit, refused.remaining, refused.retry_after_s or 0.0, 0)
    return RateState(rate if quota.kind in REQUESTS else None, rate if quota.kind in TOKENS else None)


def _tightest(indexes: Sequence[int], plan: Plan, amounts: Sequence[int], taken: Taken) -> Rate:
    index, remaining, reset_s = taken.tightest(indexes)
    return Rate(plan.quotas[index].limit, remaining, reset_s, amounts[index])
