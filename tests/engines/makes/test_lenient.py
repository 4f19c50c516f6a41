"""Answers of any make are read, whatever is missing; nonsense is an error of the engine and no bug of the gateway."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.call import Call, Key, Project, ServedModel
from server.config import Model
from server.engines.makes.answer import MendedAnswer
from server.engines.makes.lenient import Shape, decode
from server.engines.makes.reader import MendingReader
from server.engines.makes.table import MAKES
from server.openai.chat_request import ChatRequest, UserMessage
from server.openai.chunks import ENCODER, ChatLogprobs, Chunk, TokenLogprob
from server.openai.events import ChunkEvent
from server.openai.reader import EngineAnswerError, View
from tests.openai_schema import validator

SHAPE = Shape(True, ("reasoning_content", "reasoning"), "chatcmpl-1", 7)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=6), one, max_size=3),
    max_leaves=8,
)
CALL = st.fixed_dictionaries({}, optional={"id": JSON, "index": JSON, "type": JSON, "function": JSON})
DELTA = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("role", "content", "reasoning", "reasoning_content", "refusal"), JSON)
    | {"tool_calls": JSON | st.lists(CALL, max_size=3)},
)
CHOICE = st.fixed_dictionaries(
    {}, optional={"index": JSON, "delta": DELTA | JSON, "message": DELTA, "logprobs": JSON, "finish_reason": JSON}
)
ANSWER = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE | JSON, max_size=3)},
    optional={"id": JSON, "created": JSON, "usage": JSON, "system_fingerprint": JSON},
)


def call() -> Call:
    body = ChatRequest(model="m", messages=[UserMessage(content="a")])
    model = ServedModel("m", Model(engines=("e",)), 1)
    key = Key("k", "k", Project("p", "p"))
    return Call("r1", "chat.completions", key, model, body, stream=True, include_usage=True)


def answer(make: str = "ollama", *, running: bool = False, chat: bool = True) -> MendedAnswer:
    view = View("m", reasoning=True, chat=chat, usage=True)
    return MendedAnswer(MAKES[make], view, call(), 7, running=running)  # type: ignore[index]


@given(ANSWER, st.sampled_from(sorted(MAKES)), st.booleans())
def test_whatever_comes_leaves_in_the_right_shape(tree: dict[str, Any], make: str, running: bool) -> None:
    check = validator("CreateChatCompletionStreamResponse")
    payload = json.dumps(tree).encode()
    streamed, whole = answer(make, running=running), answer(make)
    for event in [*streamed.event(payload), *streamed.end(), *whole.whole(payload)]:
        assert isinstance(event, ChunkEvent)
        check(json.loads(ENCODER.encode(event.chunk)))
    answer(make, chat=False).whole(payload)


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{}", b"{", b"\xff", b'{"choices":5}', b'{"error":"x"}'])
def test_what_is_no_answer(payload: bytes) -> None:
    with pytest.raises(EngineAnswerError) as caught:
        decode(payload, SHAPE)
    assert caught.value.payload == payload


def test_names_and_gaps_are_mended() -> None:
    message = {
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "reasoning_content": "hm",
        "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
    }
    tree = {
        "choices": [{"message": message, "finish_reason": ""}],
        "usage": {"prompt_tokens": 3, "reasoning_tokens": 2},
    }
    chunk = decode(json.dumps(tree).encode(), SHAPE)
    assert isinstance(chunk, Chunk)
    assert (chunk.id, chunk.created, chunk.system_fingerprint) == ("chatcmpl-1", 7, None)
    (choice,) = chunk.choices
    assert (choice.index, choice.delta.content, choice.delta.reasoning, choice.finish_reason) == (0, "ab", "hm", None)
    assert choice.delta.tool_calls is not None
    function = choice.delta.tool_calls[0].function
    assert function is not None
    assert function.arguments == '{"x":1}'
    assert chunk.usage
    assert chunk.usage.completion_tokens_details is not None
    assert chunk.usage.completion_tokens_details.reasoning_tokens == 2


def test_log_probabilities_keep_openais_keys_only() -> None:
    token = {
        "id": 5,
        "token": "a",
        "logprob": -1,
        "bytes": [97],
        "top_logprobs": [{"id": 5, "token": "a", "logprob": -1}],
    }
    tree = {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [token]}}]}
    (event,) = answer("llamacpp").event(json.dumps(tree).encode())
    assert b'"id":5' not in event.wire()
    assert b'"top_logprobs":[{"token":"a","logprob":-1,"bytes":null}]' in event.wire()


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []}


@pytest.mark.parametrize(
    ("content", "tokens", "kept"),
    [
        ("Hi you", ["hm", "m", "Hi", " you"], ["Hi", " you"]),
        ("Hi you", ["Hi", " you", "<|return|>"], ["Hi", " you"]),
        ("Hi you", ["hm", "Hi", " thou"], None),
        ("Hi you", ["u"], None),
        ("", ["hm"], None),
    ],
)
def test_log_probabilities_of_a_whole_answer_are_those_that_spell_it(
    content: str, tokens: list[str], kept: list[str] | None
) -> None:
    message = {"role": "assistant", "content": content, "reasoning": "hmm"}
    tree = {"choices": [{"message": message, "logprobs": {"content": [*map(token, tokens)]}}]}
    (event,) = answer().whole(json.dumps(tree).encode())
    assert isinstance(event, ChunkEvent)
    found = event.chunk.choices[0].logprobs
    assert (found.content if isinstance(found, ChatLogprobs) else None) == (
        None if kept is None else [msgspec.convert(token(text), TokenLogprob) for text in kept]
    )


def test_a_letter_of_several_tokens_keeps_its_log_probabilities() -> None:
    halves = [token("\ufffd") | {"bytes": [part]} for part in "é".encode()]
    tree = {"choices": [{"message": {"content": "é"}, "logprobs": {"content": [token("hm"), *halves]}}]}
    (event,) = answer().whole(json.dumps(tree).encode())
    assert isinstance(event, ChunkEvent)
    found = event.chunk.choices[0].logprobs
    assert isinstance(found, ChatLogprobs)
    assert len(found.content or ()) == 2


def test_log_probabilities_of_a_thought_do_not_leave() -> None:
    one = answer()
    for delta, there in (({"reasoning": "hm"}, False), ({"content": "Hi"}, True)):
        tree = {"choices": [{"delta": delta, "logprobs": {"content": [token("x")]}}]}
        (event,) = one.event(json.dumps(tree).encode())
        assert (b"logprob" in event.wire()) is there


def chunk_of(**delta: Any) -> bytes:
    finish = delta.pop("finish", None)
    return b"data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"


def test_a_stream_without_done_is_over_when_its_choices_are() -> None:
    reader = MendingReader(answer())
    assert reader.feed(chunk_of(role="assistant", content="a"))
    assert reader.end() is None
    reader.feed(chunk_of(finish="stop"))
    last = reader.end()
    assert reader.done
    assert last is not None
    assert [isinstance(one, ChunkEvent) and bool(one.chunk.usage) for one in last] == [True]


def test_an_end_that_is_not_told_is_added_at_done() -> None:
    reader = MendingReader(answer())
    batch = reader.feed(chunk_of(content="a") + b"data: [DONE]\n\n")
    assert reader.done
    reasons = [one.chunk.choices[0].finish_reason for one in batch if isinstance(one, ChunkEvent) and one.chunk.choices]
    assert reasons == [None, "stop"]


def test_nothing_but_done_is_nothing() -> None:
    reader = MendingReader(answer())
    assert reader.feed(b"data: [DONE]\n\n") == []
    assert reader.done


def test_good_events_before_an_error_are_kept() -> None:
    reader = MendingReader(answer())
    batch = reader.feed(chunk_of(content="a") + b'data: {"error": "x"}\n\n')
    assert len(batch) == 1
    assert reader.failure is not None
