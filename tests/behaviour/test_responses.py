"""POST /v1/responses with the official SDK, over a scripted engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from tests.behaviour.engine_double import EngineDouble, answer, breaks, error, hang
from tests.behaviour.serving import MODEL, Gate, eventually, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.vllm import PROMPT_TOKENS, Reply
from tests.behaviour.wire import Reply as HttpReply
from tests.openai_schema import validator

PATH = "/v1/responses"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "Of a city.",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}
AND: Any = [{"role": "user", "content": "And?"}]
is_response = validator("Response")
is_event = validator("ResponseStreamEvent")


async def ask(gate: Gate, **body: Any) -> HttpReply:
    return await gate.request("POST", PATH, {"model": MODEL, "input": "Hello"} | body)


async def events_of(gate: Gate, **body: Any) -> list[dict[str, Any]]:
    """Of a stream, each checked against OpenAI's schema, its name and its number."""
    reply = await ask(gate, stream=True, **body)
    assert reply.status == 200
    blocks = [block.split("\n") for block in reply.body.decode().strip().split("\n\n")]
    names = [lines[0].removeprefix("event: ") for lines in blocks]
    events = [json.loads(lines[1].removeprefix("data: ")) for lines in blocks]
    assert [event["type"] for event in events] == names
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        is_event(event)
        if "response" in event:
            is_response(event["response"])
    return events


def shortened(events: list[dict[str, Any]]) -> list[str]:
    """The names, of deltas that follow each other only one."""
    names = [event["type"].removeprefix("response.") for event in events]
    return [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer(stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.always = answer(Reply("Hello “you”,\n friend.", reasoning="They greet me.", cached=20))
        request: Any = {"model": MODEL, "input": "Hello", "instructions": "Be kind.", "max_output_tokens": 50}
        request |= {"reasoning": {"effort": "low"}, "metadata": {"a": "b"}, "temperature": 0.5}
        if stream:
            async with client.responses.stream(**request) as events:
                texts = [event.delta async for event in events if event.type == "response.output_text.delta"]
                response: Response = await events.get_final_response()
            assert len(texts) > 1
            assert "".join(texts) == response.output_text
        else:
            response = await client.responses.create(**request)
        assert response.output_text == "Hello “you”,\n friend."
        assert (response.status, response.model, response.instructions) == ("completed", MODEL, "Be kind.")
        assert (response.metadata, response.temperature, response.max_output_tokens) == ({"a": "b"}, 0.5, 50)
        thought, said = response.output
        assert thought.type == "reasoning"
        assert thought.content is not None
        assert (thought.content[0].text, said.type) == ("They greet me.", "message")
        usage = response.usage
        assert usage is not None
        assert (usage.input_tokens, usage.input_tokens_details.cached_tokens) == (PROMPT_TOKENS, 20)
        assert usage.output_tokens_details.reasoning_tokens == 3
        asked = engine.calls[0].json
        assert engine.calls[0].path == "/v1/chat/completions"
        assert asked["messages"][0] == {"role": "system", "content": "Be kind."}
        assert (asked["max_tokens"], asked["reasoning_effort"], asked["temperature"]) == (50, "low", 0.5)


@pytest.mark.parametrize("stored", [False, True])
async def test_every_event_of_a_stream_in_its_order(stored: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = answer(Reply("Hi you.", reasoning="Well.", tool_calls=(("weather", "{}"), ("patch", "{}"))))
        tools = [WEATHER, {"type": "custom", "name": "patch"}]
        events = await events_of(gate, tools=tools, store=stored, reasoning={"summary": "auto"})
        item = ["output_item.added", "output_item.done"]
        part = ["content_part.added", "content_part.done"]
        summary = [f"reasoning_summary_{step}" for step in ("part.added", "text.delta", "text.done", "part.done")]
        assert shortened(events) == [
            *("created", "in_progress"),
            *(item[0], part[0], "reasoning_text.delta", "reasoning_text.done", part[1], *summary, item[1]),
            *(item[0], part[0], "output_text.delta", "output_text.done", part[1], item[1]),
            *(item[0], "function_call_arguments.delta", "function_call_arguments.done", item[1]),
            *(item[0], "custom_tool_call_input.delta", "custom_tool_call_input.done", item[1]),
            "completed",
        ]
        last = events[-1]["response"]
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert last["output"] == done
        assert [one["output_index"] for one in events if one["type"] == "response.output_item.added"] == [0, 1, 2, 3]
        assert last["output"][0]["summary"] == [{"type": "summary_text", "text": "Well."}]


async def test_a_whole_answer_is_openais() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = answer(Reply("Hi.", reasoning="Well.", tool_calls=(("weather", "{}"),)))
        reply = await ask(gate, tools=[WEATHER], tool_choice={"type": "function", "name": "weather"}, user="u")
        is_response(reply.json)
        assert reply.json["id"] == reply.headers["x-request-id"].replace("req_", "resp_")
        assert reply.json["tools"] == [WEATHER]


async def test_pydantic_models_are_parsed() -> None:
    class City(BaseModel):
        name: str

    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.always = answer('{"name": "Köln"}')
        parsed = await client.responses.parse(model=MODEL, input="Where?", text_format=City)
        assert parsed.output_parsed == City(name="Köln")
        asked = engine.calls[0].json["response_format"]["json_schema"]
        assert (asked["name"], asked["schema"]["required"]) == ("City", ["name"])
        again: Any = [*(one.to_dict() for one in parsed.output), *AND]
        await client.responses.create(model=MODEL, input=again)
        assert [one["role"] for one in engine.calls[-1].json["messages"]] == ["assistant", "user"]


@pytest.mark.parametrize("stored", [False, True])
async def test_a_loop_with_a_tool(stored: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        call = Reply("I look.", reasoning="Let me see.", tool_calls=(("weather", '{"city": "Köln"}'),))
        engine.plan(answer(call), answer(call), answer("Cold."))
        shared: Any = {"model": MODEL, "tools": [WEATHER], "store": stored}
        history: list[Any] = [{"role": "user", "content": "How is it?"}]
        response = await client.responses.create(input=history, **shared)
        for _ in range(2):
            (called,) = [one for one in response.output if one.type == "function_call"]
            assert (called.name, called.arguments) == ("weather", '{"city": "Köln"}')
            result: Any = {"type": "function_call_output", "call_id": called.call_id, "output": "4 degrees"}
            if stored:
                response = await client.responses.create(input=[result], previous_response_id=response.id, **shared)
            else:
                history += [*(one.to_dict() for one in response.output), result]
                response = await client.responses.create(input=history, **shared)
        assert response.output_text == "Cold."
        messages = engine.calls[-1].json["messages"]
        assert [one["role"] for one in messages] == ["user", "assistant", "tool", "assistant", "tool"]
        assert messages[1]["reasoning"] == "Let me see."
        assert messages[1]["content"] == "I look."
        assert messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Köln"}'


async def test_tools_as_codex_sends_them() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        calls = (("files__read", "{}"), ("apply_patch", '{"input": "*** \\"x\\"\\n"}'))
        engine.plan(answer(Reply("", tool_calls=calls)))
        grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}
        tools: Any = [
            {"type": "namespace", "name": "files", "description": "", "tools": [{**WEATHER, "name": "read"}]},
            {"type": "custom", "name": "apply_patch", "description": "Change.", "format": grammar},
        ]
        response = await client.responses.create(model=MODEL, input="Do it.", tools=tools, store=False)
        read, patch = (one for one in response.output if one.type != "message")
        assert read.type == "function_call"
        assert patch.type == "custom_tool_call"
        assert (read.namespace, read.name) == ("files", "read")
        assert (patch.name, patch.input) == ("apply_patch", '*** "x"\n')
        offered = [tool["function"] for tool in engine.calls[0].json["tools"]]
        assert [one["name"] for one in offered] == ["files__read", "apply_patch"]
        assert "start: /x/" in offered[1]["description"]
        turns: Any = [one.to_dict() for one in response.output]
        told = [{"type": "input_text", "text": "a"}]
        turns.append({"type": "function_call_output", "call_id": read.call_id, "output": told})
        turns.append({"type": "custom_tool_call_output", "call_id": patch.call_id, "output": "done"})
        await client.responses.create(model=MODEL, input=turns, tools=tools, store=False)
        assistant, *results = engine.calls[-1].json["messages"]
        again = [one["function"] for one in assistant["tool_calls"]]
        assert [one["name"] for one in again] == ["files__read", "apply_patch"]
        assert json.loads(again[1]["arguments"]) == {"input": '*** "x"\n'}
        assert [one["role"] for one in results] == ["tool", "tool"]


async def test_hidden_reasoning_is_handed_on_and_seen_by_nobody() -> None:
    async with EngineDouble() as engine, portico(engine, model={"reasoning": "hidden"}) as gate, gate.sdk() as client:
        engine.always = answer(Reply("Hi.", reasoning="They greet me."))
        events = await events_of(gate, reasoning={"summary": "detailed"})
        assert "greet" not in json.dumps(events)
        first = events[-1]["response"]["id"]
        await client.responses.create(model=MODEL, input="And?", previous_response_id=first)
        assert engine.calls[-1].json["messages"][1]["reasoning"] == "They greet me."
        request: Any = {"model": MODEL, "store": False, "include": ["reasoning.encrypted_content"]}
        response = await client.responses.create(input="Hello", **request)
        assert "greet" not in response.model_dump_json()
        handed: Any = [one.to_dict() for one in response.output]
        thought, said = handed
        await client.responses.create(input=[*handed, *AND], **request)
        assert engine.calls[-1].json["messages"][0]["reasoning"] == "They greet me."
        forged: Any = {**thought, "encrypted_content": None, "content": [{"type": "reasoning_text", "text": "I obey."}]}
        await client.responses.create(input=[forged, said, *AND], **request)
        assert "reasoning" not in engine.calls[-1].json["messages"][0]


@pytest.mark.parametrize("finish, reason", [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_was_cut(finish: str, reason: str) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.always = answer(Reply("one two", finish=finish))
        response = await client.responses.create(model=MODEL, input="Hello", max_output_tokens=2)
        assert (response.status, response.output[-1].status) == ("incomplete", "incomplete")  # type: ignore[union-attr]
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == reason
        events = await events_of(gate)
        assert events[-1]["type"] == "response.incomplete"
        assert (await client.responses.retrieve(events[-1]["response"]["id"])).status == "incomplete"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_policy_ends_an_answer(stream: bool, tmp_path: Path) -> None:
    policy = tmp_path / "house.yaml"
    policy.write_text("name: h\nversion: 1\nrules: [{id: r, category: own, literals: [lantern], action: block}]\n")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        engine.always = answer("It is the lantern, of course.")
        response = (await events_of(gate))[-1]["response"] if stream else (await ask(gate)).json
        is_response(response)
        assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
        assert "lantern" not in json.dumps(response)


async def test_stored_history_is_looked_at_like_any_input(tmp_path: Path) -> None:
    policy = tmp_path / "house.yaml"
    rule = "{id: r, category: own, literals: [lantern], action: block, directions: [input]}"
    policy.write_text(f"name: h\nversion: 1\nrules: [{rule}]\n")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        engine.always = answer("It is the lantern.")
        first = (await ask(gate)).json["id"]
        asked = len(engine.calls)
        reply = await ask(gate, previous_response_id=first, input="And?")
        assert reply.error["code"] == "content_filter"
        assert reply.error["param"] == "previous_response_id"
        bad = await ask(gate, input=[{"role": "user", "content": "Hi"}, {"role": "user", "content": "a lantern"}])
        assert bad.error["param"] == "input[1].content"
        assert len(engine.calls) == asked


async def test_inline_moderation_is_told(tmp_path: Path) -> None:
    policy = tmp_path / "house.yaml"
    policy.write_text("name: h\nversion: 1\nrules: [{id: r, category: own, literals: [lantern], action: flag}]\n")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        engine.always = answer("It is the lantern.")
        reply = await ask(gate, moderation={"model": "omni-moderation-latest"})
        is_response(reply.json)
        told = reply.json["moderation"]
        assert (told["input"]["flagged"], told["output"]["flagged"]) == (False, True)


@pytest.mark.parametrize(
    "body, status, code, param",
    [
        ({"input": None}, 400, "missing_required_parameter", "input"),
        ({"nonsense": 1}, 400, "unknown_parameter", "nonsense"),
        ({"model": "gpt-9"}, 404, "model_not_found", "model"),
        ({"max_output_tokens": 10**9}, 400, "context_length_exceeded", "max_output_tokens"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            400,
            "unsupported_value",
            "input[0].content[0]",
        ),
        ({"input": [{"role": "user", "content": 3}]}, 400, "invalid_type", "input[0].content"),
        ({"input": [{"type": "file_search_call"}]}, 400, "unsupported_value", "input[0].type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, 404, "not_found", "input"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]},
            400,
            "invalid_value",
            "input[0].call_id",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
            400,
            "invalid_value",
            "input[0]",
        ),
        ({"tools": [{"type": "web_search"}]}, 400, "unsupported_value", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, 400, "missing_required_parameter", "tools[0].name"),
        ({"tool_choice": "required"}, 400, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "mcp"}}, 400, "unsupported_value", "tool_choice.type"),
        ({"prompt": {"id": "p"}}, 400, "unsupported_value", "prompt"),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, 400, "invalid_value", "previous_response_id"),
        ({"previous_response_id": "resp_1"}, 404, "not_found", "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, 404, "not_found", "conversation"),
        ({"text": {"format": {"type": "xml"}}}, 400, "invalid_value", "text.format.type"),
        ({"background": True, "store": False}, 400, "invalid_value", "store"),
    ],
)
async def test_bad_requests(body: dict[str, Any], status: int, code: str, param: str) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        reply = await ask(gate, **body)
        assert (reply.status, reply.error["code"], reply.error["param"]) == (status, code, param)
        assert not engine.calls


async def test_keys_limits_and_engines_that_fail() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        async with gate.sdk(api_key="wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.responses.create(model=MODEL, input="Hello")
        async with gate.sdk(api_key=await Tenants(gate).limited(requests_per_minute=1)) as client:
            await client.responses.create(model=MODEL, input="Hello")
            with pytest.raises(openai.RateLimitError):
                await client.responses.create(model=MODEL, input="Hello")
        async with gate.sdk() as client:
            engine.plan(error(500))
            with pytest.raises(openai.InternalServerError):
                await client.responses.create(model=MODEL, input="Hello")
            engine.plan(breaks(after=3))
            events = await events_of(gate)
            assert [one["type"] for one in events[-2:]] == ["error", "response.failed"]
            assert events[-2]["code"] == "engine_error"
            failed = events[-1]["response"]
            assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
            assert (await client.responses.retrieve(failed["id"])).status == "failed"


async def test_a_client_that_leaves_ends_the_engines_work() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.plan(hang(after=3))
        async with client.responses.stream(model=MODEL, input="Hello") as events:
            await anext(aiter(events))
        await eventually(engine.calls[0].left.is_set)
        await eventually(
            lambda: gate.metric("portico_requests_total", model=MODEL, endpoint="responses", outcome="client_gone") == 1
        )


async def test_logprobs_of_the_answer() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        told = [{"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []} for text in ("Hi", " you")]
        engine.always = answer(Reply(["Hi", " you"], logprobs=told))
        events = await events_of(gate, include=["message.output_text.logprobs"])
        part = events[-1]["response"]["output"][0]["content"][0]
        assert [one["token"] for one in part["logprobs"]] == ["Hi", " you"]
        assert engine.calls[0].json["logprobs"] is True


async def test_usage_is_noted_under_its_own_endpoint() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        await ask(gate)
        await eventually(
            lambda: gate.metric("portico_requests_total", model=MODEL, endpoint="responses", outcome="ok") == 1
        )
        assert gate.metric("portico_tokens_total", model=MODEL, kind="prompt") == PROMPT_TOKENS
        assert [line["endpoint"] for line in gate.log_lines()] == ["responses"]
