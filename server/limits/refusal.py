"""A refusal in words: which limit, whose, its value, and when to come back."""

from __future__ import annotations

from server.errors import InsufficientQuota, TooManyRequests
from server.limits.plan import CONCURRENT, MILLIONTHS, REQUESTS, SPEND
from server.stores.base import Quota, Refused

NOT_WORTH_A_RETRY_S = 60.0  # SDKs wait for no longer

_NAMES = {
    "requests_per_minute": "requests per minute",
    "requests_per_day": "requests per day",
    "tokens_per_minute": "tokens per minute",
    "tokens_per_day": "tokens per day",
    "concurrent_requests": "concurrent requests",
    "spend_per_month": "spend per month",
}


def refusal(quota: Quota, amount: int, refused: Refused) -> TooManyRequests:
    """The error for a call whose `amount` does not fit."""
    whose, what = _whose(quota.scope), _NAMES[quota.kind]
    wait = refused.retry_after_s
    if wait is None and refused.share is not None:
        return _final(_above_share(quota, amount, refused.share, f"{what} of {whose}"), wait)
    if quota.kind == SPEND:
        message = f"The budget of {whose} is used up: {what} is limited to {quota.limit / MILLIONTHS:g}."
        return _final(InsufficientQuota(f"{message} It begins anew in {_words(wait)}.", retry_after=wait), wait)
    if wait is None:
        error = TooManyRequests(
            f"Request too large: it can use {amount} tokens, and {what} of {whose} are limited to "
            f"{quota.limit}. Send a shorter prompt or ask for fewer tokens (max_completion_tokens)."
        )
        error.type = "tokens"
        return _final(error, wait)
    message = f"Rate limit reached for {what} of {whose}: limit {quota.limit}, remaining {refused.remaining}"
    if quota.kind != CONCURRENT:
        message += f", requested {amount}"
    error = TooManyRequests(f"{message}. Try again in {_words(wait)}.", retry_after=wait)
    error.type = "requests" if quota.kind in REQUESTS or quota.kind == CONCURRENT else "tokens"
    return _final(error, wait)


def _above_share(quota: Quota, amount: int, share: int, limit: str) -> TooManyRequests:
    """It would fit the limit, and never fits what one worker may grant of it."""
    asked, granted, whole = (
        f"{number / MILLIONTHS:g}" if quota.kind == SPEND else str(number) for number in (amount, share, quota.limit)
    )
    what = "cost" if quota.kind == SPEND else "use"
    error = TooManyRequests(
        f"Request too large for one worker of this server: it can {what} {asked}, and of the limit {whole} for "
        f"{limit} each worker grants {granted}. Ask for less (max_completion_tokens), or ask the operator for fewer "
        "workers, or for counters that they share (stores.volatile: Valkey or Redis)."
    )
    error.type = "tokens"
    return error


def _final(error: TooManyRequests, wait: float | None) -> TooManyRequests:
    error.final = wait is None or wait > NOT_WORTH_A_RETRY_S
    return error


def _whose(scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind == "key":
        return "this key"
    if kind == "model":
        return f"model {name}"
    _, _, model = name.partition("/")
    return f"this project with model {model}" if model else "this project"


def _words(seconds: float | None) -> str:
    """A wait for people: `1.2 s`, `5 min`, `3 h`, `12 days`."""
    if seconds is None:
        return "a while"
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.1):.1f} s"
