"""The OpenAI Agents SDK, unchanged, on the real engine: as its page shows it, and streamed with each memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIConversationsSession,
    OpenAIProvider,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
)
from openai import AsyncOpenAI

from tests.live.conftest import MODEL
from tests.live.service import Service
from tests.snippets import snippet

RESULT = '{"temperature": 21, "sky": "sunny"}'


def test_as_the_page_shows_it(service: Service) -> None:
    code = snippet("responses.md", "python", "from agents import")
    assert "http://127.0.0.1:8000/v1" in code
    names: dict[str, Any] = {"key": service.key}
    exec(compile(code.replace("http://127.0.0.1:8000/v1", service.base_url), "responses.md", "exec"), names)
    first, second = names["first"], names["second"]
    kinds = [item.type for item in first.new_items if item.type != "reasoning_item"]
    assert kinds == ["tool_call_item", "tool_call_output_item", "message_output_item"]
    assert "21" in first.final_output
    assert second.final_output
    assert second.last_response_id != first.last_response_id


@pytest.mark.parametrize("memory", ["previous_response_id", "conversations", "sqlite"])
async def test_a_streamed_run_with_a_tool_over_several_turns(aclient: Callable[[], AsyncOpenAI], memory: str) -> None:
    looked_at: list[str] = []

    @function_tool
    def get_weather(city: str) -> str:
        """Get the weather in a city"""
        looked_at.append(city)
        return RESULT

    settings = ModelSettings(tool_choice="required", temperature=0, max_tokens=400)
    agent = Agent(name="Weather", model=MODEL, tools=[get_weather], model_settings=settings)
    async with aclient() as client:
        provider = OpenAIProvider(openai_client=client)
        options: dict[str, Any] = {"run_config": RunConfig(model_provider=provider, tracing_disabled=True)}
        if memory != "previous_response_id":
            session = SQLiteSession("one") if memory == "sqlite" else OpenAIConversationsSession(openai_client=client)
            options["session"] = session
        prompt_tokens = 0
        for turn, city in enumerate(("Paris", "Rome"), 1):
            run = Runner.run_streamed(agent, f"What is the weather in {city}?", **options)
            events = [event async for event in run.stream_events()]
            names = [event.name for event in events if event.type == "run_item_stream_event"]
            assert [name for name in names if name != "reasoning_item_created"] == [
                "tool_called", "tool_output", "message_output_created"
            ]  # fmt: skip
            assert looked_at[-1] == city
            assert len(looked_at) == turn
            assert "21" in str(run.final_output)
            first = run.raw_responses[0].usage.input_tokens
            assert first > prompt_tokens, "the turns before are there"
            prompt_tokens = first
            if memory == "previous_response_id":
                options["previous_response_id"] = run.last_response_id
