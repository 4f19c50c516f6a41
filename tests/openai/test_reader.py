"""Engine bytes to events: what is kept, what is hidden, what is an error."""

from __future__ import annotations

import json

import pytest

from server.openai.reader import EngineAnswerError, StreamReader, read_whole
from tests.openai.streams import HIDDEN, RAW, SHOWN, framed, payload, text_payload


def test_done() -> None:
    one = StreamReader(SHOWN)
    one.feed(framed([payload({"role": "assistant", "content": ""})]))
    assert not one.done
    one.feed(b"data: [DONE]\n\n")
    assert one.done


@pytest.mark.parametrize("body", [b"nonsense", b"{}", b"[]", b'"x"', b'{"error": {"message": "m"}}', b"\xff", b""])
def test_what_is_no_answer(body: bytes) -> None:
    for view in (SHOWN, RAW):
        with pytest.raises(EngineAnswerError) as caught:
            read_whole(view, body)
        assert caught.value.payload == body
        if body:
            with pytest.raises(EngineAnswerError):
                StreamReader(view).feed(framed([body]))


def test_good_events_before_a_bad_one_are_kept() -> None:
    one = StreamReader(SHOWN)
    events = one.feed(framed([payload({"content": "a"}), payload({"content": "b"}), b'{"error": "x"}']))
    assert len(events) == 2
    assert one.failure is not None
    assert one.failure.payload == b'{"error": "x"}'


def test_hidden_reasoning_makes_no_events() -> None:
    one = StreamReader(HIDDEN)
    parts = [payload({"reasoning": text}) for text in "abc"]
    assert one.feed(framed(parts)) == []
    assert len(one.feed(framed([payload({"content": "x"})]))) == 1


def test_the_public_name_and_a_fingerprint_that_tells_nothing() -> None:
    tree = json.loads(payload({"content": "a"})) | {"system_fingerprint": "vllm-0.32.0", "kv_transfer_params": {}}
    (event,) = StreamReader(SHOWN).feed(framed([json.dumps(tree).encode()]))
    sent = json.loads(event.wire().removeprefix(b"data: "))
    assert sent["model"] == "m"
    assert sent["system_fingerprint"].startswith("fp_")
    assert set(sent) == {"id", "object", "created", "model", "choices", "system_fingerprint"}


def test_other_engines_shapes() -> None:
    tree = json.loads(payload({"content": None, "role": "user", "tool_calls": []}, finish="stop"))
    del tree["choices"][0]["logprobs"], tree["choices"][0]["token_ids"]
    tree["usage"] = {"prompt_tokens": 3, "completion_tokens": None}
    (event,) = StreamReader(SHOWN).feed(framed([json.dumps(tree).encode()]))
    sent = json.loads(event.wire().removeprefix(b"data: "))
    assert sent["choices"][0]["delta"]["role"] == "assistant"
    assert sent["usage"] == {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}


@pytest.mark.parametrize("reason", ["abort", "repetition", "what comes next"])
def test_an_end_that_clients_do_not_know_is_one_of_an_answer_cut_short(reason: str) -> None:
    raw = json.loads(text_payload("a"))
    raw["choices"][0]["finish_reason"] = reason
    for view, data in ((SHOWN, payload({}, finish=reason)), (RAW, json.dumps(raw).encode())):
        (event,) = StreamReader(view).feed(framed([data]))
        assert json.loads(event.wire().removeprefix(b"data: "))["choices"][0]["finish_reason"] == "length"
    for known in ("stop", "length", "tool_calls", "content_filter", "function_call"):
        (event,) = StreamReader(SHOWN).feed(framed([payload({}, finish=known)]))
        assert json.loads(event.wire().removeprefix(b"data: "))["choices"][0]["finish_reason"] == known


def test_completions() -> None:
    (event,) = StreamReader(RAW).feed(framed([text_payload('a"b')]))
    assert json.loads(event.wire().removeprefix(b"data: "))["choices"] == [
        {"index": 0, "text": 'a"b', "logprobs": None, "finish_reason": None}
    ]
