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


def refused(message: str, **error: object) -> GatewayError:
    return translate(400, json.dumps({"error": {"message": message, "code": 400, **error}}).encode())


def test_the_field_is_named_and_its_value_is_not() -> None:
    text = "token_id(s) [999999] in logit_bias contain out-of-vocab token ids. (parameter=logit_bias, value=[999999])"
    error = refused(text, param="logit_bias")
    assert (error.param, error.code) == ("logit_bias", "invalid_value")
    assert error.message.endswith("in logit_bias contain out-of-vocab token ids.")
    assert refused("What is this? (parameter=messages, value=my\nsecret)").message.endswith("What is this?")


@pytest.mark.parametrize("param", ["prompt_token_ids", "vllm_xargs", "$.x", "", 5, None, ["n"]])
def test_a_field_that_no_client_can_send_is_not_named(param: object) -> None:
    error = refused("No.", param=param)
    assert (error.param, error.code) == (None, None)
