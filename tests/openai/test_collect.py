"""A streamed answer put together is the unary answer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.openai.collect import Collector
from server.openai.reader import StreamReader, read_whole
from tests.behaviour import vllm
from tests.behaviour.vllm import Reply
from tests.openai.streams import RAW, SHOWN, TEXT, framed, text_payload


def collected(data: bytes, *, whole: bool) -> Any:
    collector = Collector()
    for event in read_whole(SHOWN, data) if whole else StreamReader(SHOWN).feed(data):
        collector.feed(event)
    body = collector.body()
    return body and json.loads(body)


@given(st.lists(TEXT, max_size=8), st.lists(TEXT, max_size=8), st.integers(1, 3), st.sampled_from(["stop", "length"]))
def test_both_paths(content: list[str], reasoning: list[str], n: int, finish: str) -> None:
    reply = Reply(content, reasoning=reasoning, finish=finish, others={1: Reply(reasoning, finish="stop")})
    body = {"model": "x", "n": n, "stream_options": {"include_usage": True}}
    streamed = collected(framed([json.dumps(event).encode() for event in vllm.stream(reply, body)]), whole=False)
    unary = collected(vllm.unary(reply, body), whole=True)
    for answer in (streamed, unary):  # a stream's fingerprint comes at its end
        answer.pop("system_fingerprint", None)
    assert streamed == unary


def test_a_whole_answer_always_has_ended() -> None:
    body = {"model": "x", "prompt": "p"}
    unary = json.loads(vllm.unary(Reply("a"), body))
    unary["choices"][0]["finish_reason"] = None
    assert collected(json.dumps(unary).encode(), whole=True)["choices"][0]["finish_reason"] == "stop"
    events = [json.dumps(event).encode() for event in vllm.stream(Reply("a b"), body)[:-1]]
    assert collected(framed(events), whole=False)["choices"][0]["finish_reason"] == "stop"
    collector = Collector()
    (event,) = StreamReader(RAW).feed(framed([text_payload("a")]))
    collector.feed(event)
    assert json.loads(collector.body() or b"")["choices"][0]["finish_reason"] == "stop"


def test_nothing() -> None:
    assert Collector().body() is None


def test_completions() -> None:
    collector = Collector()
    for event in StreamReader(RAW).feed(framed([text_payload("a"), text_payload("b"), text_payload("c")])):
        collector.feed(event)
    body = json.loads(collector.body() or b"")
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "abc")
