from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.call import Tokens
from server.config import Price
from server.usage.record import LOST, cost, lost_record_of, record_of, used
from tests.usage.doubles import call

TOKENS = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("price", "tokens", "expected"),
    [
        (Price(), Tokens(1000, 1000), 0),
        (Price(input=2.5, output=10), Tokens(1_000_000, 100_000), 3_500_000),  # 2.50 + 1.00
        (Price(input=0.05), Tokens(1), 1),  # rounded up
        (Price(input=0.1), Tokens(30), 3),  # 3.0000000000000004 in floating point
        (Price(input=1, output=0.25), Tokens(0, 5), 2),
        (Price(input=2, cached_input=0.5), Tokens(100, 0, cached=60), 110),
        (Price(input=2, cached_input=0), Tokens(100, 0, cached=100), 0),
        (Price(input=2), Tokens(100, 0, cached=60), 200),  # cached ones cost as much as others
        (Price(input=2, cached_input=1), Tokens(10, 0, cached=1000), 10),  # an engine that miscounts
        (Price(output=1), Tokens(0, 7, reasoning=7), 7),  # reasoning is a part of the completion
    ],
)
def test_cost(price: Price, tokens: Tokens, expected: int) -> None:
    assert cost(price, tokens) == expected


@given(TOKENS, TOKENS, TOKENS, st.floats(0, 1000))
def test_cost_is_never_less_than_the_price_and_never_a_millionth_more(
    prompt: int, completion: int, more: int, price: float
) -> None:
    exact = (prompt + completion) * price
    assert exact - 1e-3 <= cost(Price(input=price, output=price), Tokens(prompt, completion)) < exact + 1 + 1e-3
    assert cost(Price(input=price), Tokens(prompt)) <= cost(Price(input=price), Tokens(prompt + more))


def test_record() -> None:
    record = record_of(call(7, queued_s=0.25, first_token=2.0, outcome="client_gone"))
    assert (record.call_id, record.project_id, record.key_id, record.model) == (f"req_{7:032x}", "proj_1", "key_1", "m")
    assert (record.endpoint, record.priority, record.outcome, record.status) == (
        "completions",
        "standard",
        "client_gone",
        200,
    )
    assert (record.prompt, record.cached, record.completion, record.reasoning) == (100, 40, 20, 5)
    assert record.cost == 60 * 2 + 40 * 1 + 20 * 10
    assert (record.queued_ms, record.first_token_ms, record.duration_ms) == (250, 1000, 2000)


def test_what_the_engine_never_told_is_estimated() -> None:
    cut = call(tokens=None, size=4000, streamed=9)
    assert used(cut, None) == Tokens(1000, 9)
    assert used(cut, 812) == Tokens(812, 9)
    never_dispatched = call(tokens=None, size=4000, dispatched=None)
    assert used(never_dispatched, 812) == Tokens()
    assert record_of(never_dispatched, 812).cost == 0


def test_the_record_of_a_call_that_is_never_heard_of_again() -> None:
    record = lost_record_of(call(size=4000), 812)
    assert (record.outcome, record.status, record.prompt, record.completion) == (LOST, 0, 812, 0)
    assert record.cost == 812 * 2
    assert lost_record_of(call(size=4000)).prompt == 1000
