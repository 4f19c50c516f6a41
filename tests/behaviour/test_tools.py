"""Tool calls: the same on both paths, and none where the client said none."""

from __future__ import annotations

import json

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import Exchange, answer
from tests.behaviour.vllm import DONE, Reply, chunk

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "time"}}
ARGUMENTS = '{"city": "北京", "note": "\\"x\\""}'
CALL = Reply("", reasoning="Look it up.", tool_calls=(("weather", ARGUMENTS), ("time", "{}")))


def test_the_same_on_both_paths(shared: Shared) -> None:
    shared.engine.plan(answer(CALL), answer(CALL))
    whole = shared.chat(tools=[TOOL, OTHER]).json["choices"][0]
    events = shared.chat(tools=[TOOL, OTHER], stream=True).events
    calls: dict[int, dict[str, str]] = {}
    for event in events:
        for delta in event["choices"][0]["delta"].get("tool_calls") or ():
            call = calls.setdefault(delta["index"], {"arguments": ""})
            call["arguments"] += delta["function"].get("arguments") or ""
            call |= {"id": delta["id"], "name": delta["function"]["name"]} if "id" in delta else {}
    assert whole["finish_reason"] == "tool_calls"
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    for position, call in enumerate(whole["message"]["tool_calls"]):
        assert call == {
            "id": calls[position]["id"],
            "type": "function",
            "function": {"name": calls[position]["name"], "arguments": calls[position]["arguments"]},
        }
    assert whole["message"]["tool_calls"][0]["function"]["arguments"] == ARGUMENTS
    assert whole["message"]["content"] is None
    assert shared.engine.calls[-2].json["stream"] is True  # vLLM writes arguments in its own way when not streaming


def test_the_first_delta_of_a_call_names_it(shared: Shared) -> None:
    shared.engine.plan(answer(CALL))
    deltas = [event["choices"][0]["delta"] for event in shared.chat(tools=[TOOL], stream=True).events]
    first = next(delta for delta in deltas if "tool_calls" in delta)
    assert first["tool_calls"][0]["function"] == {"name": "weather", "arguments": ""}
    assert first["tool_calls"][0]["type"] == "function"


@pytest.mark.parametrize("stream", [True, False])
def test_none_hides_the_tools(shared: Shared, stream: bool) -> None:
    assert shared.chat(tools=[TOOL], tool_choice="none", stream=stream).text() == "Hello there, friend."
    assert not {"tools", "tool_choice"} & set(shared.engine.calls[-1].json)


def test_choices_pass(shared: Shared) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("auto", "required", named):
        assert shared.chat(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False).status == 200
        sent = shared.engine.calls[-1].json
        assert (sent["tool_choice"], sent["parallel_tool_calls"]) == (choice, False)
        assert sent["tools"] == [TOOL]


def test_a_tools_loop(shared: Shared) -> None:
    shared.engine.plan(answer(CALL))
    message = shared.chat(tools=[TOOL, OTHER]).json["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "18°C"} for call in message["tool_calls"]]
    reply = shared.chat(tools=[TOOL, OTHER], messages=[{"role": "user", "content": "?"}, message, *results])
    assert reply.status == 200, reply.body
    sent = shared.engine.calls[-1].json["messages"]
    assert sent[1]["reasoning"] == "Look it up."
    assert json.loads(sent[1]["tool_calls"][0]["function"]["arguments"])["city"] == "北京"
    assert [one["content"] for one in sent[2:]] == ["18°C", "18°C"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_named_tool_ends_with_tool_calls(shared: Shared, stream: bool) -> None:
    """vLLM says `stop`."""

    async def script(exchange: Exchange) -> None:
        body = exchange.call.json
        await exchange.head()
        call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        await exchange.event(chunk(body, {"role": "assistant", "content": ""}))
        await exchange.event(chunk(body, {"tool_calls": [call]}))
        await exchange.event(chunk(body, {}, finish="stop"))
        await exchange.part(DONE)
        await exchange.end()

    shared.engine.plan(script)
    choice = {"type": "function", "function": {"name": "weather"}}
    assert shared.chat(tools=[TOOL], tool_choice=choice, stream=stream).finish() == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
def test_json_taken_for_a_call_is_content(shared: Shared, stream: bool) -> None:
    """vLLM reads the header `final json` as a call of a function called json."""
    shared.engine.plan(answer(Reply("", tool_calls=(("json", '{"a": "北京"}'),))))
    reply = shared.chat(response_format={"type": "json_object"}, stream=stream)
    assert (reply.text(), reply.finish()) == ('{"a": "北京"}', "stop")
    assert b"tool_calls" not in reply.body
