from __future__ import annotations

import pytest

from server.api.http import duration, error_headers, rate_headers
from server.call import Rate, RateState, Tokens
from server.config import Limit
from server.limits.headers import rate_state, rate_state_of_refusal
from server.limits.plan import plan_of
from server.limits.refusal import refusal
from server.stores.base import LimitKind, Quota, Refused, Standings
from tests.contract.limit_stores import Charge, quotas
from tests.limits.calls import a_call


@pytest.mark.parametrize(
    ("charge", "refused", "code", "kind", "final", "words"),
    [
        (Charge("key:k", "requests_per_minute", 10, 1), Refused(0, 0, 12.34), "rate_limit_exceeded", "requests", False,
         ["requests per minute of this key", "limit 10", "remaining 0", "12.3 s"]),
        (Charge("project:p", "tokens_per_minute", 1000, 700), Refused(0, 300, 40), "rate_limit_exceeded", "tokens",
         False, ["tokens per minute of this project", "limit 1000", "remaining 300", "requested 700", "40.0 s"]),
        (Charge("project:p/m", "tokens_per_day", 1000, 700), Refused(0, 300, 7200), "rate_limit_exceeded", "tokens",
         True, ["tokens per day of this project with model m", "2 h"]),
        (Charge("model:m", "concurrent_requests", 3, 1), Refused(0, 0, 1), "rate_limit_exceeded", "requests", False,
         ["concurrent requests of model m", "limit 3"]),
        (Charge("key:k", "tokens_per_minute", 1000, 1700), Refused(0, 1000, None), "rate_limit_exceeded", "tokens",
         True, ["too large", "1700", "1000", "max_completion_tokens"]),
        (Charge("key:k", "tokens_per_minute", 4_000_000, 1_700_000), Refused(0, 1_000_000, None, 1_000_000),
         "rate_limit_exceeded", "tokens", True,
         ["one worker", "1700000", "4000000", "grants 1000000", "fewer workers", "Redis", "tokens per minute of this"]),
        (Charge("key:k", "spend_per_month", 5_000_000, 2_700_000), Refused(0, 0, None, 2_500_000),
         "rate_limit_exceeded", "tokens", True, ["one worker", "cost 2.7", "limit 5 ", "grants 2.5"]),
        (Charge("key:k", "spend_per_month", 2_500_000, 9), Refused(0, 0, 864_000), "insufficient_quota",
         "insufficient_quota", True, ["budget of this key", "2.5", "10 days"]),
    ],
)  # fmt: skip
def test_a_refusal_names_the_limit_and_the_way_out(
    charge: Charge, refused: Refused, code: str, kind: str, final: bool, words: list[str]
) -> None:
    error = refusal(quotas([charge])[0], charge.amount, refused)
    assert (error.status, error.code, error.type) == (429, code, kind)
    assert [word for word in words if word not in error.message] == []
    headers = dict(error_headers(error))
    assert (headers.get(b"x-should-retry") == b"false") == final
    assert (b"retry-after" in headers) == (refused.retry_after_s is not None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0121, "13ms"), (0.9999, "1000ms"), (1, "1s"), (59.2, "1m0s"), (360, "6m0s"), (86_399, "23h59m59s")],
)
def test_durations_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_tightest_limit_is_shown() -> None:
    limit = Limit(requests_per_minute=60, requests_per_day=100, tokens_per_minute=1000, tokens_per_day=900)
    call = a_call(limit)
    plan = plan_of(call.key, call.model)
    left = {"requests_per_minute": 59, "requests_per_day": 7, "tokens_per_minute": 400, "tokens_per_day": 500}
    taken = Standings([left.get(one.kind, 1) for one in plan.quotas], [30.0] * len(plan.quotas))
    state = rate_state(plan, [100] * len(plan.quotas), taken)
    assert state == RateState(Rate(100, 7, 30, 100), Rate(1000, 400, 30, 100))


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("requests_per_day", RateState(Rate(9, 3, 5.0, 0), None)),
        ("tokens_per_minute", RateState(None, Rate(9, 3, 5.0, 0))),
        ("concurrent_requests", RateState(None, None)),
    ],
)
def test_the_limit_in_the_way_is_shown(kind: LimitKind, state: RateState) -> None:
    assert rate_state_of_refusal(Quota("key:k", kind, 9), Refused(0, 3, 5.0)) == state


def test_headers_count_what_a_call_gives_back() -> None:
    state = RateState(Rate(60, 59, 1, 1), Rate(1000, 400, 30, 100))
    during, after = rate_headers(state, None).decode(), rate_headers(state, Tokens(20, 30)).decode()
    assert "x-ratelimit-remaining-tokens: 400\r\n" in during
    assert "x-ratelimit-remaining-tokens: 450\r\n" in after
    for text in (during, after):
        assert "x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\n" in text
        assert "x-ratelimit-limit-tokens: 1000\r\n" in text
        assert "x-ratelimit-reset-tokens: 30s\r\n" in text
    assert rate_headers(RateState(None, None), None) == b""
