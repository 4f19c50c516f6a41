"""What comes back: OpenAI's fields, the same text as the engine's, and nothing of the engine's own business."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour import vllm
from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble, answer, raw
from tests.behaviour.serving import portico
from tests.behaviour.vllm import Reply
from tests.openai_schema import validator

TEXTS = [
    ' say "hi"',
    "\\n is",
    "\n",
    "你好",
    "，世界",
    "🎉",
    "e\u0301",
    "\ue000",
    "\u2028",
    "",
    "\t\x00",
    "</s>",
    "\\",
    '"',
]
TOOL = {"type": "function", "function": {"name": "f"}}
RICH = Reply(TEXTS, reasoning=[*TEXTS[::-1], "hm"])


@pytest.mark.parametrize("cuts", [0, 1, 7, 4096])
@pytest.mark.parametrize("stream", [True, False])
def test_texts_arrive_unchanged(shared: Shared, stream: bool, cuts: int) -> None:
    shared.engine.plan(answer(RICH, cuts=cuts))
    reply = shared.chat(stream=stream)
    assert reply.text() == "".join(TEXTS)
    assert reply.text("reasoning") == reply.text("reasoning_content") == "".join([*TEXTS[::-1], "hm"])
    assert reply.finish() == "stop"


@pytest.mark.parametrize("body", [{}, {"stop": "zzz"}, {"n": 3}, {"logprobs": True}])
@pytest.mark.parametrize("stream", [True, False])
def test_no_engine_internals(shared: Shared, stream: bool, body: dict[str, Any]) -> None:
    reply = shared.chat(stream=stream, **body, **({"stream_options": {"include_usage": True}} if stream else {}))
    assert reply.status == 200
    text = reply.body.decode()
    assert [word for word in vllm.INTERNALS if word in text] == []
    events = reply.events if stream else [reply.json]
    check = validator("CreateChatCompletionStreamResponse" if stream else "CreateChatCompletionResponse")
    for event in events:
        check(event)
        assert event["id"] == vllm.ID
        assert event["model"] == "gpt-oss-20b"


@pytest.mark.parametrize("stream", [True, False])
def test_no_engine_internals_in_completions(shared: Shared, stream: bool) -> None:
    reply = shared.complete(stream=stream)
    assert reply.text("text") == "Hello there, friend."
    assert [word for word in vllm.INTERNALS if word in reply.body.decode()] == []
    check = validator("CreateCompletionStreamResponse" if stream else "CreateCompletionResponse")
    for event in reply.events if stream else [reply.json]:
        check(event)


@pytest.mark.parametrize("endpoint", ["chat", "complete"])
@pytest.mark.parametrize("asked", [None, False, True])
def test_usage_is_always_asked_and_shown_when_asked(shared: Shared, endpoint: str, asked: bool | None) -> None:
    options = {} if asked is None else {"stream_options": {"include_usage": asked}}
    reply = getattr(shared, endpoint)(stream=True, **options)
    assert shared.engine.calls[-1].json["stream_options"] == {"include_usage": True}
    usages = [event for event in reply.events if event.get("usage")]
    assert len(usages) == bool(asked)
    if asked:
        assert reply.events[-1] is not None
        assert reply.events[-1]["choices"] == []
        tokens = 3 if endpoint == "complete" else 6
        assert reply.events[-1]["usage"]["completion_tokens"] == tokens
        assert reply.events[-1]["usage"]["total_tokens"] == vllm.PROMPT_TOKENS + tokens
        assert [event["usage"] for event in reply.events[:-1]] == [None] * (len(reply.events) - 1)
        kind = "CreateCompletionStreamResponse" if endpoint == "complete" else "CreateChatCompletionStreamResponse"
        for event in reply.events:
            validator(kind)(event)
    else:
        assert all(event["choices"] and "usage" not in event for event in reply.events)


STOPPED = [
    {"stop": "zzz"},
    {"stop": "there"},
    {"stop": ["llo", "friend"], "n": 2},
    {"logprobs": True},
    {"tools": [TOOL]},
]


@pytest.mark.parametrize("body", STOPPED)
@pytest.mark.parametrize("asked", [False, True])
def test_usage_is_null_until_it_comes_whatever_is_done_to_the_answer(
    shared: Shared, body: dict[str, Any], asked: bool
) -> None:
    reply = shared.chat(stream=True, stream_options={"include_usage": asked}, **body)
    if not asked:
        assert all("usage" not in event for event in reply.events)
        return
    *events, last = reply.events
    assert [event["usage"] for event in events] == [None] * len(events)
    assert last["usage"]["prompt_tokens"] == vllm.PROMPT_TOKENS
    assert events[-1]["choices"][0]["finish_reason"] is not None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["abort", "repetition", None])
def test_how_an_answer_ended_is_said_in_openais_words(shared: Shared, stream: bool, reason: Any) -> None:
    shared.engine.plan(*[answer(Reply(finish=reason))] * 2)
    wanted = "length" if reason else None if stream else "stop"
    assert [shared.chat(stream=stream).finish(), shared.complete(stream=stream).finish()] == [wanted] * 2


def test_unary_usage(shared: Shared) -> None:
    shared.engine.plan(answer(Reply("a b", reasoning="c d e", cached=64)))
    assert shared.chat().json["usage"] == {
        "prompt_tokens": 120,
        "completion_tokens": 5,
        "total_tokens": 125,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def test_several_choices(shared: Shared) -> None:
    shared.engine.plan(*[answer(Reply("one two three", others={1: Reply("uno dos", finish="length")}))] * 2)
    for stream in (True, False):
        reply = shared.chat(n=2, stream=stream)
        assert (reply.text(index=0), reply.finish(0)) == ("one two three", "stop")
        assert (reply.text(index=1), reply.finish(1)) == ("uno dos", "length")


def test_the_fingerprint_does_not_name_the_engine(shared: Shared) -> None:
    fingerprint = shared.chat().json.get("system_fingerprint")
    assert fingerprint is None or fingerprint.startswith("fp_")


@pytest.mark.parametrize("content", [None, ""])
def test_an_answer_with_nothing_in_it(shared: Shared, content: Any) -> None:
    body = json.loads(vllm.unary(Reply(""), {"model": "m"}))
    body["choices"][0]["message"] |= {"content": content, "reasoning": None}
    text = json.dumps(body).encode()
    shared.engine.plan(
        raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
    )
    reply = shared.chat()
    assert reply.status == 200
    validator("CreateChatCompletionResponse")(reply.json)


async def test_hidden_reasoning() -> None:
    async with EngineDouble() as engine, portico(engine, model={"reasoning": "hidden"}) as gate:
        for body in ({}, {"stream": True}, {"stop": "zzz", "stream": True}, {"stop": "zzz"}, {"logprobs": True}):
            engine.plan(answer(Reply("yes", reasoning="secret thoughts here", cached=1)))
            reply = await gate.chat(**body)
            assert "thoughts" not in reply.body.decode()
            assert "reasoning_content" not in reply.body.decode()
            assert reply.text() == "yes"
            if body.get("stream"):
                assert len(reply.events) <= 4, "empty events tell how long the model thought"


async def test_older_engines_say_reasoning_content() -> None:
    def renamed(reply: Reply) -> Any:
        async def script(exchange: Any) -> None:
            await exchange.head()
            for event in vllm.stream(reply, exchange.call.json):
                await exchange.part(vllm.event(event).replace(b'"reasoning":', b'"reasoning_content":'))
            await exchange.part(vllm.DONE)
            await exchange.end()

        return script

    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(renamed(Reply("yes", reasoning="one two three")))
        reply = await gate.chat(stream=True)
        assert reply.text("reasoning") == reply.text("reasoning_content") == "one two three"


async def test_the_sdk_reads_it() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        whole = await client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
        assert whole.choices[0].message.content == "Hello there, friend."
        assert whole.choices[0].message.reasoning == "They greet me."  # type: ignore[attr-defined]
        assert whole.usage is not None and whole.usage.completion_tokens == 6
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello there, friend."
        assert chunks[-1].usage is not None
        assert all(chunk.usage is None for chunk in chunks[:-1])
        text = await client.completions.create(model="gpt-oss-20b", prompt="Once")
        assert text.choices[0].text == "Hello there, friend."
        answered = await client.chat.completions.with_raw_response.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}]
        )
        assert answered.headers["x-request-id"].startswith("req_")
