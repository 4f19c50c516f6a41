from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.errors import translate, translate_event
from server.errors import GatewayError


@given(
    st.integers(400, 599),
    st.binary(max_size=50) | st.text(max_size=30).map(lambda m: json.dumps({"error": m}).encode()),
)
def test_anything_becomes_an_error(status: int, body: bytes) -> None:
    for error in (translate(status, body), translate_event(body)):
        assert isinstance(error, GatewayError)
        assert "\n" not in error.message
        assert len(error.message) < 500


@pytest.mark.parametrize(
    ("text", "limit", "tokens"),
    [
        (
            "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.",
            "4096",
            "5000",
        ),
        ("Input length (9068) exceeds model's maximum context length (8192).", "8192", "9068"),
        ("The decoder prompt is longer than the maximum model length of 4096.", "4096", None),
    ],
)
def test_context_length(text: str, limit: str, tokens: str | None) -> None:
    error = translate(400, json.dumps({"error": {"message": text, "code": 400}}).encode())
    assert error.code == "context_length_exceeded"
    assert limit in error.message
    assert tokens is None or tokens in error.message


@pytest.mark.parametrize("code", [400, 429, 500, 503, "400", None, 10**9, True, 200])
def test_events(code: object) -> None:
    assert isinstance(translate_event(json.dumps({"error": {"message": "m", "code": code}}).encode()), GatewayError)


def test_long_texts_are_cut() -> None:
    error = translate(400, json.dumps({"error": {"message": "x" * 10_000}}).encode())
    assert len(error.message) < 400
