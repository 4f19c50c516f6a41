"""Bodies to requests: the message names the field, never the value; time grows no faster than the body."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BadJson, GatewayError, InvalidRequest, UnknownParameter
from server.openai.parse import CHAT, depth, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def true_depth(tree: Any) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return 0 if inner is None else 1 + max(map(true_depth, inner), default=0)


@given(JSON, st.booleans())
def test_depth(tree: Any, ascii_only: bool) -> None:
    assert depth(json.dumps(tree, ensure_ascii=ascii_only).encode()) == true_depth(tree)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_in_good_order(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(CHAT, body, 64)
    assert caught.value.status == 400


@given(JSON, st.sampled_from(["messages", "model", "n", "stop", "tools", "tool_choice", "metadata", "stream", "user"]))
def test_any_value_anywhere(tree: Any, field: str) -> None:
    good = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
    try:
        parse(CHAT, json.dumps(good | {field: tree}).encode(), 64)
    except GatewayError as error:
        assert error.status == 400
        assert error.param is None or error.param.startswith(field)


@pytest.mark.parametrize(
    "body",
    [b'\\"' * 500_000 + b"[" * 100, b"[" * 2_000_000, b'"' * 2_000_000 + b"[" * 100, b'{"a":' * 500_000,
     b'"' + b"\\\\" * 1_000_000 + b"[" * 100],
)  # fmt: skip
def test_no_body_takes_long(body: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidRequest):
        parse(CHAT, body, 64)
    assert time.perf_counter() - began < 1


def test_a_long_unknown_name_takes_no_longer() -> None:
    began = time.perf_counter()
    with pytest.raises(UnknownParameter) as caught:
        parse(CHAT, b'{"' + b"x" * 5_000_000 + b'": 1}', 64)
    assert time.perf_counter() - began < 0.5
    assert len(caught.value.message) < 200


def test_ways_out() -> None:
    for field, hint in (("mesages", "messages"), ("max_token", "max_tokens"), ("guided_json", "response_format")):
        with pytest.raises(UnknownParameter, match=hint):
            parse(CHAT, json.dumps({field: 1}).encode(), 64)


def test_half_of_a_pair_is_said_plainly() -> None:
    with pytest.raises(BadJson, match="surrogate"):
        parse(CHAT, b'{"model": "\\ud83d"}', 64)
    assert parse(CHAT, b'{"model": "\\ud83d\\ude00", "messages": [{"role": "user", "content": "a"}]}', 64).model == "😀"
