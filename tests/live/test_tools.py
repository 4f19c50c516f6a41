"""Function calling on the real engine: the whole loop, streamed and not, and every tool_choice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.live.conftest import MODEL
from tests.live.wire import Wire

GREEDY: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": 400}
PARIS = "What is the weather in Paris?"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def ask(client: openai.OpenAI, prompt: str = PARIS, **options: Any) -> Any:
    messages = options.pop("messages", [{"role": "user", "content": prompt}])
    return client.chat.completions.create(**{**GREEDY, "messages": messages, "tools": [WEATHER], **options})


def collect(chunks: Any) -> tuple[list[dict[str, str]], str, str | None]:
    """The calls of a stream with their whole arguments, the content, and how it ended."""
    calls: dict[int, dict[str, str]] = {}
    content, finish = "", None
    for chunk in chunks:
        choice = chunk.choices[0]
        content += choice.delta.content or ""
        finish = choice.finish_reason or finish
        for delta in choice.delta.tool_calls or ():
            call = calls.setdefault(delta.index, {"id": "", "name": "", "arguments": ""})
            call["id"] += delta.id or ""
            call["name"] += delta.function.name or ""
            call["arguments"] += delta.function.arguments or ""
    return list(calls.values()), content, finish


def test_the_loop(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": PARIS}]
    answer = ask(client, messages=messages)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert call.id
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    result = json.dumps({"temperature": 18, "condition": "sunny"})
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": result}]
    final = ask(client, messages=messages).choices[0]
    assert final.finish_reason == "stop"
    assert final.message.tool_calls is None
    assert final.message.content.startswith("It is ")
    assert final.message.content.endswith("in Paris.")


def test_the_loop_streamed_and_asynchronous(aclient: Callable[[], openai.AsyncOpenAI]) -> None:
    async def run() -> None:
        messages: list[Any] = [{"role": "user", "content": PARIS}]
        async with aclient() as client:
            async with client.chat.completions.stream(**GREEDY, messages=messages, tools=[WEATHER]) as stream:
                kinds = [event.type async for event in stream]
                message = (await stream.get_final_completion()).choices[0].message
            assert "tool_calls.function.arguments.delta" in kinds
            assert "tool_calls.function.arguments.done" in kinds
            assert message.tool_calls
            call: Any = message.tool_calls[0]
            assert json.loads(call.function.arguments) == {"city": "Paris"}
            messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "18 degrees, sunny"}]
            async with client.chat.completions.stream(**GREEDY, messages=messages, tools=[WEATHER]) as stream:
                final = await stream.get_final_completion()
            assert (final.choices[0].message.content or "").endswith("in Paris.")

    asyncio.run(run())


def test_streamed_call(client: openai.OpenAI) -> None:
    (call,), content, finish = collect(ask(client, stream=True))
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris"})
    assert call["id"]
    assert (content, finish) == ("", "tool_calls")


def test_arguments_are_the_same_on_both_paths(client: openai.OpenAI, wire: Wire) -> None:
    prompt = "北京的天气怎么样？"
    arguments = ask(client, prompt).choices[0].message.tool_calls[0].function.arguments
    assert b"\\\\u" not in wire.last.body  # raw UTF-8
    assert not json.loads(arguments)["city"].isascii()
    (call,), _, _ = collect(ask(client, prompt, stream=True))
    assert call["arguments"] == arguments


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["auto", "required", NAMED])
def test_choice_of_a_call(client: openai.OpenAI, choice: Any, stream: bool) -> None:
    answer = ask(client, tool_choice=choice, stream=stream)
    if stream:
        (call,), content, finish = collect(answer)
        name, arguments = call["name"], call["arguments"]
    else:
        message, finish = answer.choices[0].message, answer.choices[0].finish_reason
        (one,) = message.tool_calls
        name, arguments, content = one.function.name, one.function.arguments, message.content or ""
    assert (name, json.loads(arguments), content, finish) == ("get_weather", {"city": "Paris"}, "", "tool_calls")


@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_call_is_forced_where_none_fits(client: openai.OpenAI, choice: Any) -> None:
    (call,) = ask(client, "Hello", tool_choice=choice).choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments), dict)  # which ones is up to the model: no city was named


@pytest.mark.parametrize("stream", [False, True])
def test_no_call_when_none_is_wanted(client: openai.OpenAI, stream: bool) -> None:
    answer = ask(client, tool_choice="none", stream=stream)
    if stream:
        calls, content, finish = collect(answer)
    else:
        message, finish = answer.choices[0].message, answer.choices[0].finish_reason
        calls, content = message.tool_calls or [], message.content
    assert (calls, finish) == ([], "stop")
    assert content  # the model was not shown the tool, so it answers


def test_tools_that_are_not_needed(client: openai.OpenAI) -> None:
    message = ask(client, "What is the capital of France?").choices[0].message
    assert message.tool_calls is None
    assert message.content == "The capital of France is Paris."


@pytest.mark.parametrize("stream", [False, True])
def test_cut_within_a_call_says_length(client: openai.OpenAI, stream: bool) -> None:
    """vLLM's unary path says `tool_calls` for half a call, which an agent would run."""
    whole = ask(client).usage.completion_tokens
    for limit in range(whole - 6, whole - 1):
        answer = ask(client, max_tokens=limit, stream=stream)
        finish = collect(answer)[2] if stream else answer.choices[0].finish_reason
        assert finish == "length"


def test_pydantic_tool(client: openai.OpenAI) -> None:
    class get_weather(BaseModel):
        """Get the weather in a city"""

        city: str

    answer = client.chat.completions.parse(
        **GREEDY, messages=[{"role": "user", "content": PARIS}], tools=[openai.pydantic_function_tool(get_weather)]
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].function.parsed_arguments == get_weather(city="Paris")
