"""Anthropic's Messages on the real engine, through the official SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic

from tests.live.conftest import MODEL
from tests.live.service import Service

PARIS: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Get the weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def anthropic(service: Service) -> Iterator[Anthropic]:
    with Anthropic(base_url=service.base_url.removesuffix("/v1"), api_key=service.key, max_retries=0) as client:
        yield client


def test_the_prompt_is_counted_as_the_engine_counts_it(anthropic: Anthropic) -> None:
    request: Any = {"model": MODEL, "messages": PARIS, "system": "Be brief. 请简短。", "tools": [WEATHER]}
    counted = anthropic.messages.count_tokens(**request)
    usage = anthropic.messages.create(**request, max_tokens=300).usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)
    assert usage.output_tokens > 0


def test_a_stream_with_thinking(anthropic: Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 2048}
    with anthropic.messages.stream(model=MODEL, max_tokens=400, messages=PARIS, thinking=thinking) as events:
        message = events.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert (message.stop_reason, message.usage.input_tokens > 60) == ("end_turn", True)


def test_a_loop_with_a_tool(anthropic: Anthropic) -> None:
    turns: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    request: Any = {"model": MODEL, "max_tokens": 400, "tools": [WEATHER], "extra_body": {"temperature": 0}}
    asked = anthropic.messages.create(messages=turns, **request)
    assert asked.stop_reason == "tool_use"
    call = asked.content[-1]
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("get_weather", {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": '{"temperature": 21, "sky": "sunny"}'}
    turns += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    told = anthropic.messages.create(messages=turns, **request)
    assert told.stop_reason == "end_turn"
    assert "21" in "".join(block.text for block in told.content if block.type == "text")
