from __future__ import annotations

from typing import Any

import pytest

from server.call import Tokens
from server.config import Limit, Price
from server.limits.plan import amounts, answer_tokens, plan_of, used
from tests.limits.calls import a_call


def test_no_limits_no_plan() -> None:
    assert plan_of(a_call().key, a_call().model).quotas == ()


def test_every_limit_of_every_scope_applies() -> None:
    every = Limit(
        requests_per_minute=1, requests_per_day=2, tokens_per_minute=3, tokens_per_day=4, concurrent_requests=5,
        spend_per_month=0.5,
    )  # fmt: skip
    call = a_call(every, every, every, every)
    plan = plan_of(call.key, call.model)
    scopes = ["key:key_1", "project:proj_1", "project:proj_1/m", "model:m"]
    assert [one.scope for one in plan.quotas] == [scope for scope in scopes for _ in range(6)]
    for scope in scopes:
        assert {one.kind: one.limit for one in plan.quotas if one.scope == scope} == {
            "requests_per_minute": 1, "requests_per_day": 2, "tokens_per_minute": 3, "tokens_per_day": 4,
            "concurrent_requests": 5, "spend_per_month": 500_000,
        }  # fmt: skip
    assert plan.least_tokens == 3
    assert plan_of(call.key, call.model) is plan, "made once"


def test_amounts() -> None:
    limit = Limit(requests_per_minute=9, tokens_per_day=9000, concurrent_requests=2, spend_per_month=1)
    call = a_call(limit, price=Price(input=2, output=10), n=2)
    plan = plan_of(call.key, call.model)
    taken = dict(zip([one.kind for one in plan.quotas], amounts(plan, call, 100, 30), strict=True))
    assert taken == {
        "concurrent_requests": 1, "requests_per_minute": 1, "tokens_per_day": 160,
        "spend_per_month": 2 * 100 + 10 * 60,
    }  # fmt: skip


def test_the_amount_of_a_single_limit() -> None:
    call = a_call(Limit(tokens_per_day=9000))
    assert amounts(plan_of(call.key, call.model), call, 40, 30) == (70,)


def test_each_answer_to_each_prompt_counts() -> None:
    call = a_call(Limit(tokens_per_day=9000), prompt=["a", "b"], n=3)
    assert amounts(plan_of(call.key, call.model), call, 40, 5) == (70,)


@pytest.mark.parametrize(
    ("body", "settings", "granted"),
    [
        ({}, {}, 800),  # what the smallest limit leaves
        ({"n": 4}, {}, 200),
        ({"max_tokens": 5}, {}, 5),
        ({"max_completion_tokens": 7}, {}, 7),
        ({"max_tokens": 3000}, {}, 3000),  # asked for: does not fit, and is not made to
        ({}, {"defaults": {"max_tokens": 50}}, 50),
        ({"prompt": "x"}, {}, 16),
        ({"prompt": "x"}, {"defaults": {"max_tokens": 50}}, 50),
    ],
)
def test_the_granted_answer(body: dict[str, Any], settings: dict[str, Any], granted: int) -> None:
    call = a_call(Limit(tokens_per_minute=1000), settings=settings, **body)
    assert answer_tokens(call, plan_of(call.key, call.model), 200, 8192) == granted


def test_the_granted_answer_fits_the_context_and_the_setting() -> None:
    call = a_call(Limit(tokens_per_minute=1_000_000))
    plan = plan_of(call.key, call.model)
    assert answer_tokens(call, plan, 96, 8192) == 4000
    assert answer_tokens(call, plan, 96, 300) == 300
    assert answer_tokens(call, plan, 5000, 300) == 1


LIMIT = Limit(requests_per_minute=9, tokens_per_minute=9000, concurrent_requests=2, spend_per_month=1)


@pytest.mark.parametrize(
    ("dispatched", "tokens", "streamed", "expected"),
    [
        (1.0, Tokens(prompt=30, completion=12, cached=10), 11, {"requests": 1, "tokens": 42, "spend": 40 + 5 + 120}),
        (1.0, None, 11, {"requests": 1, "tokens": 36, "spend": 2 * 25 + 110}),  # the engine never said
        (None, None, 0, {"requests": 0, "tokens": 0, "spend": 0}),  # it never reached an engine
    ],
)
def test_what_was_used(
    dispatched: float | None, tokens: Tokens | None, streamed: int, expected: dict[str, int]
) -> None:
    call = a_call(LIMIT, price=Price(input=2, cached_input=0.5, output=10))
    call.dispatched, call.tokens, call.streamed, call.counted = dispatched, tokens, streamed, 25
    plan = plan_of(call.key, call.model)
    assert dict(zip([one.kind for one in plan.quotas], used(plan, call), strict=True)) == {
        "concurrent_requests": 0,
        "requests_per_minute": expected["requests"],
        "tokens_per_minute": expected["tokens"],
        "spend_per_month": expected["spend"],
    }
