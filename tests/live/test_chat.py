"""Chat completions on the real engine, through the official SDK: answers, history, sampling, limits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.live.conftest import MODEL, client_of
from tests.live.service import Service
from tests.live.wire import Wire

GREEDY: dict[str, Any] = {"model": MODEL, "temperature": 0}
PARIS = "The capital of France is Paris."


def user(text: Any) -> Any:
    return {"role": "user", "content": text}


def ask(client: openai.OpenAI, *messages: Any, **options: Any) -> Any:
    found = [user(message) if isinstance(message, str) else message for message in messages]
    return client.chat.completions.create(**{**GREEDY, "messages": found, **options})


def test_unary_answer(client: openai.OpenAI) -> None:
    answer = ask(client, "What is the capital of France?")
    assert answer.object == "chat.completion"
    assert answer.model == MODEL
    choice = answer.choices[0]
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert choice.message.content == PARIS
    assert choice.message.tool_calls is None
    assert choice.message.reasoning.startswith("The user asks for the capital of France.")
    assert choice.message.reasoning_content == choice.message.reasoning
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens


def test_streamed_answer_is_the_unary_one(client: openai.OpenAI) -> None:
    whole = ask(client, "What is the capital of France?")
    chunks = list(ask(client, "What is the capital of France?", stream=True, stream_options={"include_usage": True}))
    *parts, last = chunks
    assert parts[0].choices[0].delta.role == "assistant"
    deltas = [chunk.choices[0].delta for chunk in parts]
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    thoughts = [getattr(delta, "reasoning", None) or "" for delta in deltas]
    assert "".join(thoughts) == whole.choices[0].message.reasoning
    assert thoughts == [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert [chunk.choices[0].finish_reason for chunk in parts][-1] == "stop"
    assert all(chunk.choices[0].finish_reason is None for chunk in parts[:-1])
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert last.usage.prompt_tokens == whole.usage.prompt_tokens


def test_stream_without_usage_has_none(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "Hello", stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_sdk_collects_a_stream(client: openai.OpenAI) -> None:
    """`chat.completions.stream` with its events and its snapshot."""
    with client.chat.completions.stream(**GREEDY, messages=[user("What is the capital of France?")]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == PARIS
    assert final.choices[0].finish_reason == "stop"


def test_async_client(aclient: Callable[[], openai.AsyncOpenAI]) -> None:
    async def run() -> None:
        async with aclient() as client:
            whole = await client.chat.completions.create(**GREEDY, messages=[user("Hello")])
            stream: Any = await client.chat.completions.create(**GREEDY, messages=[user("Hello")], stream=True)
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(parts) == whole.choices[0].message.content
            assert "Portico" in "".join(parts)

    asyncio.run(run())


def test_chinese_in_and_out(client: openai.OpenAI, wire: Wire) -> None:
    answer = ask(client, "法国的首都是哪里？")
    assert answer.choices[0].message.content == "法国的首都是巴黎。"
    assert "巴黎".encode() in wire.last.body  # as text, not as \\u escapes
    chunks = ask(client, "讲一个长故事。", stream=True)
    story = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert len(story) > 200
    assert "灯塔" in story
    assert "\ufffd" not in story


def test_long_stream_arrives_bit_by_bit(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "Tell me a long story.", stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text.split()) > 150
    assert len(chunks) > 150
    assert chunks[-1].usage.completion_tokens > 200
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_roles_and_history(client: openai.OpenAI) -> None:
    history = (
        user("My name is Alice."),
        {"role": "assistant", "content": "Nice to meet you, Alice!"},
        user("What is my name?"),
    )
    alone = ask(client, "What is my name?").usage.prompt_tokens
    for role in ("system", "developer"):
        answer = ask(client, {"role": role, "content": "You are a helpful assistant."}, *history)
        # The demo model answers about names; which one it copies is its own tests' business.
        assert answer.choices[0].message.content.startswith("Your name is ")
        assert answer.usage.prompt_tokens > alone + 20


def test_an_answer_can_be_sent_back_as_it_came(client: openai.OpenAI) -> None:
    """What `message.model_dump()` gives, reasoning and nulls included, is accepted as history."""
    first = user("My name is Bob.")
    answer = ask(client, first).choices[0].message
    again = ask(client, first, answer.model_dump(), user("What is my name?"))
    assert again.choices[0].message.content.startswith("Your name is ")


def test_content_parts(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": "What is the capital "}, {"type": "text", "text": "of France?"}]
    whole = ask(client, user([{"type": "text", "text": "What is the capital of France?"}]))
    assert whole.choices[0].message.content == PARIS
    assert ask(client, user(parts)).usage.prompt_tokens >= whole.usage.prompt_tokens


def test_several_choices(client: openai.OpenAI) -> None:
    answer = ask(client, "Give me a random number between 1 and 100.", n=4, temperature=1, seed=7)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert all(choice.finish_reason == "stop" for choice in answer.choices)
    assert len({choice.message.content for choice in answer.choices}) > 1
    parts: dict[int, str] = {}
    ends: dict[int, str] = {}
    for chunk in ask(client, "Flip a coin.", n=2, stream=True):  # a tiny model, sampled, may well say nothing
        for choice in chunk.choices:
            parts[choice.index] = parts.get(choice.index, "") + (choice.delta.content or "")
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    assert ends == {0: "stop", 1: "stop"}
    assert all(parts[index] for index in (0, 1))


def test_several_choices_at_temperature_zero(client: openai.OpenAI) -> None:
    """vLLM refuses that; OpenAI does not."""
    answer = ask(client, "What is the capital of France?", n=2)
    assert [choice.message.content for choice in answer.choices] == [PARIS, PARIS]


def test_seed_repeats(client: openai.OpenAI) -> None:
    def number(seed: int) -> str:
        return (
            ask(client, "Give me a random number between 1 and 100.", temperature=1, seed=seed)
            .choices[0]
            .message.content
        )

    assert [number(3), number(4), number(5)] == [number(3), number(4), number(5)]
    assert len({number(seed) for seed in range(3, 11)}) > 1


@pytest.mark.parametrize("stream", [False, True])
def test_stop_text_is_not_in_the_answer(client: openai.OpenAI, stream: bool) -> None:
    def text(stop: Any) -> tuple[str, str]:
        answer = ask(client, "Count from 1 to 20.", stop=stop, stream=stream)
        if not stream:
            return answer.choices[0].message.content, answer.choices[0].finish_reason
        chunks = list(answer)
        return "".join(c.choices[0].delta.content or "" for c in chunks), chunks[-1].choices[0].finish_reason

    assert text("10") == ("1, 2, 3, 4, 5, 6, 7, 8, 9, ", "stop")
    assert text(["never", "5, 6"]) == ("1, 2, 3, 4, ", "stop")


def test_stop_counts_usage(client: openai.OpenAI) -> None:
    whole = ask(client, "Count from 1 to 100.")
    cut = ask(client, "Count from 1 to 100.", stop=["7"])
    assert 0 < cut.usage.completion_tokens < whole.usage.completion_tokens
    assert cut.usage.prompt_tokens == whole.usage.prompt_tokens


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_token_limit_cuts(client: openai.OpenAI, name: str) -> None:
    answer = ask(client, "Tell me a long story.", **{name: 40})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 40
    chunks = list(ask(client, "Tell me a long story.", stream=True, **{name: 40}))
    assert chunks[-1].choices[0].finish_reason == "length"


def test_cut_before_any_text_is_an_empty_answer(client: openai.OpenAI) -> None:
    for limit in (1, 2, 3):
        choice = ask(client, "Hello", max_tokens=limit).choices[0]
        assert (choice.finish_reason, choice.message.content) == ("length", "")


def test_reasoning_effort_in_all_of_openais_values(client: openai.OpenAI) -> None:
    def tokens(effort: str) -> int:
        answer = ask(client, "What is the capital of France?", reasoning_effort=effort)
        assert answer.choices[0].message.content == PARIS
        return answer.usage.completion_tokens_details.reasoning_tokens

    found = {effort: tokens(effort) for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")}
    assert found["none"] == found["minimal"] == found["low"] < found["medium"] < found["high"]
    assert found["high"] == found["xhigh"] == found["max"]


def test_logprobs(client: openai.OpenAI) -> None:
    choice = ask(client, "What is the capital of France?", logprobs=True, top_logprobs=2).choices[0]
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens) == choice.message.content
    for token in tokens:
        assert token.logprob <= 0
        assert bytes(token.bytes).decode() == token.token
        assert len(token.top_logprobs) == 2
        assert math.isclose(token.top_logprobs[0].logprob, token.logprob, abs_tol=1e-3)
    streamed = [
        token.token
        for chunk in ask(client, "What is the capital of France?", logprobs=True, stream=True)
        if chunk.choices[0].logprobs
        for token in chunk.choices[0].logprobs.content
    ]
    assert streamed == [token.token for token in tokens]


def test_fields_that_mean_nothing_to_the_engine(client: openai.OpenAI) -> None:
    answer = ask(
        client,
        "What is the capital of France?",
        metadata={"team": "a"},
        store=False,
        user="u-1",
        safety_identifier="s-1",
        prompt_cache_key="p-1",
        extra_body={"prompt_cache_options": {"ttl": "30m"}},
        service_tier="auto",
        top_p=1,
        frequency_penalty=0,
        presence_penalty=0,
        parallel_tool_calls=None,
    )
    assert answer.choices[0].message.content == PARIS


def test_headers(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        **GREEDY, messages=[user("Hello")], extra_headers={"X-Client-Request-Id": "mine-1"}
    )
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-client-request-id"] == "mine-1"
    assert int(raw.headers["openai-processing-ms"]) >= 1
    assert raw.headers["openai-version"] == "2020-10-01"
    parsed = raw.parse()
    assert parsed.choices[0].message.content
    assert parsed._request_id == raw.headers["x-request-id"]
    with client.chat.completions.with_streaming_response.create(
        **GREEDY, messages=[user("Hello")], stream=True
    ) as stream:
        assert stream.headers["x-request-id"].startswith("req_")
        assert "openai-processing-ms" in stream.headers
        assert stream.headers["content-type"].startswith("text/event-stream")
        list(stream.iter_lines())


def test_sixteen_streams_at_once(aclient: Callable[[], openai.AsyncOpenAI], service: Service) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> None:
        prompt, wanted = (("Count from 1 to 50.", "50"), ("Tell me a long story.", "Mara"))[number % 2]
        stream: Any = await client.chat.completions.create(**GREEDY, messages=[user(prompt)], stream=True)
        chunks = [chunk async for chunk in stream]
        assert wanted in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"

    async def run() -> None:
        async with aclient() as client:
            await asyncio.gather(*(one(client, number) for number in range(16)))

    asyncio.run(run())


def test_hidden_reasoning(gateway: Callable[..., Service], wire: Wire) -> None:
    """A model's configuration can keep the chain of thought from clients; its tokens are still counted."""
    started = gateway(model={"reasoning": "hidden", "developer_prompt": "You are a helpful assistant."})
    with client_of(started, wire) as client:
        answer = ask(client, "What is the capital of France?")
        chunks = list(ask(client, "What is the capital of France?", stream=True))
    assert answer.choices[0].message.content == PARIS
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == PARIS
    assert not any(
        b'reasoning"' in exchange.body or b"reasoning_content" in exchange.body for exchange in wire.exchanges
    )
