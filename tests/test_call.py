from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.call import ServedModel, Tokens
from server.config import Model, Price
from tests.usage.doubles import call

TOKENS = st.integers(0, 10**7)


def model(price: Price) -> ServedModel:
    return ServedModel("m", Model(engines=("e",), price=price), 1)


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
    assert model(price).cost(tokens.prompt, tokens.completion, tokens.cached) == expected


@given(TOKENS, TOKENS, TOKENS, st.floats(0, 1000))
def test_cost_is_never_less_than_the_price_and_never_a_millionth_more(
    prompt: int, completion: int, more: int, price: float
) -> None:
    exact = (prompt + completion) * price
    assert exact - 1e-3 <= model(Price(input=price, output=price)).cost(prompt, completion) < exact + 1 + 1e-3
    assert model(Price(input=price)).cost(prompt) <= model(Price(input=price)).cost(prompt + more)


def test_what_the_engine_never_told_is_estimated() -> None:
    cut = call(tokens=None, size=4000, streamed=9)
    assert cut.used() == Tokens(1000, 9)
    cut.counted = 812
    assert cut.used() == Tokens(812, 9)
    assert call(tokens=None, size=4000, counted=812, dispatched=None).used() == Tokens()
