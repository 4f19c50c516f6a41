"""The OpenAI Agents SDK, unchanged: tools, memories, handoffs and results over several turns of a scripted engine."""

from __future__ import annotations

from typing import Any

import pytest
from agents import (
    Agent,
    HostedMCPTool,
    ModelSettings,
    OpenAIConversationsSession,
    OpenAIProvider,
    RunConfig,
    Runner,
    RunResult,
    RunResultStreaming,
    SQLiteSession,
    WebSearchTool,
    function_tool,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.behaviour.engine_double import EngineDouble, answer
from tests.behaviour.mcp_server import browser, tool_server
from tests.behaviour.serving import MODEL, portico
from tests.behaviour.vllm import Reply

MEMORIES = ("items", "sqlite", "previous_response_id", "conversation_id", "conversations")


class Weather(BaseModel):
    city: str
    degrees: int


class Talk:
    """One agent and what it remembers, in one of the SDK's ways, from one question to the next."""

    def __init__(self, client: AsyncOpenAI, agent: Agent[Any], memory: str = "items", streamed: bool = False) -> None:
        provider = OpenAIProvider(openai_client=client)
        self._client = client
        self._agent = agent
        self._memory = memory
        self._streamed = streamed
        self._options: dict[str, Any] = {"run_config": RunConfig(model_provider=provider, tracing_disabled=True)}
        self._past: list[Any] = []

    async def ask(self, question: str) -> RunResult | RunResultStreaming:
        options = self._options
        if self._memory == "sqlite":
            options.setdefault("session", SQLiteSession("one"))
        elif self._memory == "conversations":
            options.setdefault("session", OpenAIConversationsSession(openai_client=self._client))
        elif self._memory == "conversation_id" and "conversation_id" not in options:
            options["conversation_id"] = (await self._client.conversations.create()).id
        asked = [*self._past, {"role": "user", "content": question}] if self._memory == "items" else question
        if self._streamed:
            result = Runner.run_streamed(self._agent, asked, **options)
            names = [event.name async for event in result.stream_events() if event.type == "run_item_stream_event"]
            assert "message_output_created" in names
        else:
            result = await Runner.run(self._agent, asked, **options)
        self._past = result.to_input_list()
        if self._memory == "previous_response_id":
            options["previous_response_id"] = result.last_response_id
        return result


def calling(*cities: str, first: int = 0) -> Reply:
    calls = tuple(("get_weather", f'{{"city": "{city}"}}') for city in cities)
    return Reply("", reasoning=f"I look at {' and '.join(cities)}.", tool_calls=calls, first_call=first)


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("memory", MEMORIES)
async def test_tools_over_several_turns(memory: str, streamed: bool) -> None:
    looked_at: list[str] = []

    @function_tool
    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        looked_at.append(city)
        return f"4 degrees in {city}"

    agent = Agent(name="Weather", instructions="Be brief.", model=MODEL, tools=[get_weather])
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.plan(answer(calling("Paris", "Rome")), answer("Cold."))
        engine.plan(answer(calling("Oslo", first=2)), answer("Cold too."))
        talk = Talk(client, agent, memory, streamed)
        first = await talk.ask("How is it in Paris and Rome?")
        assert first.final_output == "Cold."
        second = await talk.ask("And in Oslo?")
        assert second.final_output == "Cold too."
        assert sorted(looked_at) == ["Oslo", "Paris", "Rome"]
        assert len(engine.calls) == 4
        messages = engine.calls[-1].json["messages"]
        roles = ["system", "user", "assistant", "tool", "tool", "assistant", "user", "assistant", "tool"]
        assert [one["role"] for one in messages] == roles
        asked = [text_of(one) for one in messages if one["role"] == "user"]
        assert asked == ["How is it in Paris and Rome?", "And in Oslo?"]
        results = [one["content"] for one in messages if one["role"] == "tool"]
        assert results == [f"4 degrees in {city}" for city in ("Paris", "Rome", "Oslo")]
        calls = [call["id"] for one in messages for call in one.get("tool_calls") or ()]
        assert calls == [one["tool_call_id"] for one in messages if one["role"] == "tool"]
        assert second.context_wrapper.usage.requests == 2
        assert second.context_wrapper.usage.total_tokens > 0


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("memory", MEMORIES)
async def test_tools_that_the_gateway_runs(memory: str, streamed: bool) -> None:
    desk = HostedMCPTool(tool_config={"type": "mcp", "server_label": "desk", "require_approval": "never"})
    agent = Agent(name="Desk", model=MODEL, tools=[desk, WebSearchTool()])
    calls = (("desk__add", '{"a": 1, "b": 2}'), ("web_search__search", '{"query": "owls"}'))
    async with tool_server() as tools, tool_server(browser) as web, EngineDouble() as engine:
        servers = {"desk": {"url": tools.url}, "web": {"url": web.url, "role": "web_search"}}
        async with portico(engine, tools={"servers": servers}) as gate, gate.sdk() as client:
            engine.plan(answer(Reply("", reasoning="Two.", tool_calls=calls)), answer("3 owls."), answer("Yes."))
            talk = Talk(client, agent, memory, streamed)
            assert (await talk.ask("1 + 2 owls?")).final_output == "3 owls."
            assert (await talk.ask("Sure?")).final_output == "Yes."
            assert (tools.called, web.called) == ([("add", (1, 2))], [("search", "owls")])
            told = [one["content"] for one in engine.calls[-1].json["messages"] if one["role"] == "tool"]
            ours = memory in ("previous_response_id", "conversation_id")  # else the SDK hands items back itself
            assert told == (["3", "[0] found owls"] if ours else ["3"])


async def test_a_forced_tool_is_forced_once() -> None:
    @function_tool
    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        return f"4 degrees in {city}"

    agent = Agent(
        name="Weather", model=MODEL, tools=[get_weather],
        model_settings=ModelSettings(tool_choice="required", parallel_tool_calls=False, temperature=0, max_tokens=99),
    )  # fmt: skip
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.plan(answer(calling("Oslo")), answer("Cold."))
        result = await Talk(client, agent).ask("How is it in Oslo?")
        assert result.final_output == "Cold."
        first, second = (call.json for call in engine.calls)
        assert (first["tool_choice"], second.get("tool_choice", "auto")) == ("required", "auto")
        assert (first["temperature"], first["max_tokens"], first["parallel_tool_calls"]) == (0, 99, False)


async def test_one_agent_hands_over_to_another_which_answers_in_a_shape() -> None:
    expert = Agent(name="Expert", handoff_description="Knows.", instructions="Know.", model=MODEL, output_type=Weather)
    desk = Agent(name="Desk", instructions="Hand over.", model=MODEL, handoffs=[expert])
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.plan(
            answer(Reply("", tool_calls=(("transfer_to_expert", "{}"),))), answer('{"city": "Oslo", "degrees": 4}')
        )
        result = await Talk(client, desk, streamed=True).ask("How is it in Oslo?")
        assert result.last_agent is expert
        assert result.final_output == Weather(city="Oslo", degrees=4)
        asked = engine.calls[-1].json
        assert asked["messages"][0]["content"] == "Know."
        assert asked["response_format"]["json_schema"]["schema"]["required"] == ["city", "degrees"]
