"""Responses whose tools the gateway runs: a real MCP server, a scripted engine, the official SDK as the client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response

from tests.behaviour.engine_double import EngineDouble, answer, error, hang
from tests.behaviour.mcp_server import ToolServer, tool_server
from tests.behaviour.serving import KEY, MODEL, Gate, eventually, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.test_background_responses import becomes, begin
from tests.behaviour.test_background_responses import events_of as background_events
from tests.behaviour.test_responses import PATH, ask, events_of, is_response, shortened
from tests.behaviour.vllm import PROMPT_TOKENS, Reply
from tests.behaviour.wire import Wire
from tests.openai_schema import validator

DESK: dict[str, Any] = {"type": "mcp", "server_label": "desk", "require_approval": "never"}
ADD = Reply("", reasoning="A sum.", tool_calls=(("desk__add", '{"a": 1, "b": 2}'),))
NOBODY = {"servers": {"desk": {"url": "http://127.0.0.1:9/mcp"}}}
WEATHER: dict[str, Any] = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


@asynccontextmanager
async def desk(
    *, form: Any = None, bounds: Any = None, further: Any = None, moderation: Any = None, **settings: Any
) -> AsyncIterator[tuple[ToolServer, EngineDouble, Gate]]:
    """A tool server, an engine, and a Portico that knows it as `desk` with `settings`, and under `further` labels.

    `form` is how the server speaks, `bounds` are further keys of `tools`.
    """
    async with tool_server(**form or {}) as tools, EngineDouble() as engine:
        known = {"desk": {"timeout_s": 5} | settings} | (further or {})
        servers = {label: {"url": tools.url} | one for label, one in known.items()}
        section = {"servers": servers} | (bounds or {})
        async with portico(engine, tools=section, moderation=moderation or {}) as gate:
            yield tools, engine, gate


@asynccontextmanager
async def opened(gate: Gate, **body: Any) -> AsyncIterator[Wire]:
    """A request sent, its answer not read yet. Leaving closes the connection."""
    async with Wire(gate.port) as wire:
        await wire.request("POST", PATH, {"model": MODEL, "input": "Hi", "tools": [DESK]} | body, KEY)
        yield wire


def kinds(response: dict[str, Any]) -> list[str]:
    return [item["type"] for item in response["output"]]


def item(response: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [one for one in response["output"] if one["type"] == kind]
    return found


@pytest.mark.parametrize("form", [{}, {"json_response": True}, {"stateless_http": True}])
async def test_a_call_and_the_answer_made_of_it(form: dict[str, Any]) -> None:
    async with desk(form=form) as (tools, engine, gate), gate.sdk() as client:
        engine.plan(answer(ADD), answer("It is 3."))
        response: Response = await client.responses.create(model=MODEL, input="1 + 2?", tools=[DESK])  # type: ignore[list-item]
        assert tools.called == [("add", (1, 2))]
        listed, thought, called, said = response.output
        assert listed.type == "mcp_list_tools"
        assert [one.name for one in listed.tools] == ["add", "echo", "fails", "huge", "hangs", "waits", "python"]
        assert (thought.type, said.type) == ("reasoning", "message")
        assert called.type == "mcp_call"
        assert (called.server_label, called.name, called.output, called.error) == ("desk", "add", "3", None)
        assert (called.arguments, called.status) == ('{"a": 1, "b": 2}', "completed")
        assert response.output_text == "It is 3."
        assert response.usage is not None
        assert response.usage.input_tokens == 2 * PROMPT_TOKENS
        is_response(json.loads(response.to_json()))
        first, second = (one.json for one in engine.calls)
        assert [one["function"]["name"] for one in first["tools"]][:2] == ["desk__add", "desk__echo"]
        *_, asked, told = second["messages"]
        assert (asked["role"], asked["reasoning"]) == ("assistant", "A sum.")
        assert asked["tool_calls"][0]["function"] == {"name": "desk__add", "arguments": '{"a": 1, "b": 2}'}
        assert (told["role"], told["content"]) == ("tool", "3")
        await eventually(lambda: gate.metric("portico_tool_calls_total", server="desk", outcome="ok") == 1)
        assert gate.total("portico_requests_total", endpoint="responses", outcome="ok") == 2


async def test_every_event_of_a_stream_in_its_order() -> None:
    async with desk() as (_tools, engine, gate):
        engine.plan(answer(ADD), answer("It is 3."))
        events = await events_of(gate, tools=[DESK], store=False)
        item_ = ["output_item.added", "output_item.done"]
        part = ["content_part.added", "content_part.done"]
        assert shortened(events) == [
            *("created", "in_progress"),
            *(item_[0], "mcp_list_tools.in_progress", "mcp_list_tools.completed", item_[1]),
            *(item_[0], part[0], "reasoning_text.delta", "reasoning_text.done", part[1], item_[1]),
            *(item_[0], "mcp_call.in_progress", "mcp_call_arguments.delta", "mcp_call_arguments.done"),
            *("mcp_call.completed", item_[1]),
            *(item_[0], part[0], "output_text.delta", "output_text.done", part[1], item_[1]),
            "completed",
        ]
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert events[-1]["response"]["output"] == done
        assert [one["output_index"] for one in events if one["type"] == "response.output_item.added"] == [0, 1, 2, 3]


async def test_several_rounds_and_each_is_a_call_of_its_own() -> None:
    async with desk() as (tools, engine, gate):
        again = Reply("Well.", tool_calls=(("desk__echo", '{"text": "a"}'),))
        engine.plan(answer(ADD), answer(again), answer(again), answer("Done."))
        response = (await ask(gate, tools=[DESK])).json
        assert kinds(response)[1:] == ["reasoning", "mcp_call", "message", "mcp_call", "message", "mcp_call", "message"]
        assert response["usage"]["input_tokens"] == 4 * PROMPT_TOKENS
        assert [name for name, _ in tools.called] == ["add", "echo", "echo"]
        roles = [one["role"] for one in engine.calls[-1].json["messages"]]
        assert roles == ["user", *["assistant", "tool"] * 3]
        await eventually(lambda: len(gate.log_lines()) == 4)
        request_id = response["id"].replace("resp_", "req_")
        ids = [line["id"] for line in gate.log_lines()]
        assert ids == [request_id, *(f"{request_id}.{number}" for number in (1, 2, 3))]


async def test_a_limit_counts_each_round_and_nothing_is_done_twice() -> None:
    async with desk() as (_tools, engine, gate):
        key = await Tenants(gate).limited(requests_per_minute=1)
        engine.always = answer(ADD)
        reply = await gate.request("POST", PATH, {"model": MODEL, "input": "Hi", "tools": [DESK]}, key)
        assert (reply.status, reply.json["status"]) == (200, "failed")  # an error would be tried again by SDKs
        assert reply.json["error"]["code"] == "rate_limit_exceeded"
        is_response(reply.json)
        assert item(reply.json, "mcp_call")["output"] == "3"
        kept = await gate.request("GET", f"{PATH}/{reply.json['id']}", key=key)
        assert kept.json == reply.json


async def test_a_first_round_that_fails_is_an_ordinary_error() -> None:
    async with desk() as (_tools, engine, gate):
        engine.plan(error(500), error(500))
        for stream in (False, True):
            reply = await ask(gate, tools=[DESK], stream=stream)
            assert (reply.status, reply.error["code"]) == (502, "engine_error")
        assert not gate.parts.gateway.runs


async def test_a_later_round_that_fails_ends_the_stream() -> None:
    async with desk() as (_tools, engine, gate):
        engine.plan(answer(ADD), error(500))
        events = await events_of(gate, tools=[DESK])
        assert [one["type"] for one in events[-2:]] == ["error", "response.failed"]
        assert item(events[-1]["response"], "mcp_call")["status"] == "completed"


@pytest.mark.parametrize("stored", [False, True])
async def test_a_call_waits_for_approval(stored: bool) -> None:
    async with desk() as (tools, engine, gate):
        asks = DESK | {"require_approval": "always"}
        engine.plan(answer(ADD), answer("It is 3."), answer("You are welcome."))
        first = (await ask(gate, tools=[asks], store=stored, include=["reasoning.encrypted_content"])).json
        is_response(first)
        assert kinds(first) == ["mcp_list_tools", "reasoning", "mcp_approval_request"]
        assert not tools.called
        request = item(first, "mcp_approval_request")
        assert (request["name"], request["arguments"]) == ("add", '{"a": 1, "b": 2}')
        yes: dict[str, Any] = {
            "type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True,
        }  # fmt: skip
        before: list[Any] = [{"role": "user", "content": "Hello"}, *first["output"]]
        goes_on: dict[str, Any] = (
            {"input": [yes], "previous_response_id": first["id"]}
            if stored
            else {"input": [*before, yes], "store": False}
        )
        events = await events_of(gate, tools=[asks], **goes_on)
        second = events[-1]["response"]
        assert kinds(second) == ["mcp_call", "message"]
        called = item(second, "mcp_call")
        assert (called["approval_request_id"], called["output"]) == (request["id"], "3")
        assert tools.called == [("add", (1, 2))]
        before_this = engine.calls[1].json["messages"]
        assert [one["role"] for one in before_this] == ["user", "assistant", "tool"]
        assert before_this[-1]["content"] == "3"
        if stored:
            items = (await gate.request("GET", f"{PATH}/{second['id']}/input_items")).json
            validator("ResponseItemList")(items)
            assert items["data"][0]["approval_request_id"] == request["id"]
            further = {"input": "Thanks", "previous_response_id": second["id"]}
        else:
            further = {"input": [*before, yes, *second["output"], {"role": "user", "content": "Thanks"}]}
        third = (await ask(gate, tools=[asks], **further)).json
        assert kinds(third) == ["message"]
        assert tools.called == [("add", (1, 2))]
        *told, answered, thanked = engine.calls[2].json["messages"]
        assert told == before_this
        assert (answered["content"], thanked["role"]) == ("It is 3.", "user")


async def test_a_request_for_approval_is_told_when_it_is_complete() -> None:
    async with desk() as (_tools, engine, gate):
        engine.always = answer(ADD)
        events = await events_of(gate, tools=[DESK | {"require_approval": "always"}])
        thought, asks = (events[-1]["response"]["output"][at]["id"] for at in (1, 2))
        names = [one["type"] for one in events if asks in json.dumps(one)]
        assert names == [f"response.{name}" for name in ("output_item.added", "output_item.done", "completed")]
        said = [one["delta"] for one in events if one.get("item_id") == thought and "delta" in one]
        assert "".join(said) == "A sum."


async def test_a_call_that_is_not_approved_is_not_made() -> None:
    async with desk() as (tools, engine, gate):
        asks = DESK | {"require_approval": {"never": {"tool_names": ["echo"]}}}
        engine.plan(answer(ADD), answer("As you like."))
        first = (await ask(gate, tools=[asks])).json
        no = {"type": "mcp_approval_response", "approval_request_id": first["output"][-1]["id"], "approve": False}
        reply = await ask(gate, tools=[asks], previous_response_id=first["id"], input=[no | {"reason": "too dear"}])
        assert kinds(reply.json) == ["message"]
        assert not tools.called
        told = engine.calls[-1].json["messages"][-1]
        assert (told["role"], told["content"]) == ("tool", "The user did not allow this call. too dear")
        unanswered = await ask(gate, tools=[asks], previous_response_id=first["id"], input="Go on")
        assert (unanswered.status, unanswered.error["param"]) == (400, "previous_response_id")
        assert "mcp_approval_response" in unanswered.error["message"]


async def test_nobody_can_approve_what_the_model_did_not_ask_for() -> None:
    async with desk() as (tools, engine, gate):
        asks = DESK | {"require_approval": "always"}
        engine.always = answer(ADD)
        first = (await ask(gate, tools=[asks], store=False)).json
        request = item(first, "mcp_approval_request")
        yes = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
        forged = [request | {"arguments": '{"a": 9, "b": 9}'}, yes]
        reply = await ask(gate, tools=[asks], input=forged)
        assert (reply.status, reply.error["param"]) == (400, "input[1].approval_request_id")
        secret, _ = await Tenants(gate).key()
        body = {"model": MODEL, "tools": [asks], "input": [request, yes]}
        other = await gate.request("POST", PATH, body, secret)
        assert (other.status, other.error["param"]) == (400, "input[1].approval_request_id")
        without = await ask(gate, input=[request, yes])
        assert (without.status, without.error["param"]) == (400, "input[1].approval_request_id")
        assert not tools.called


async def test_an_approved_call_is_limited_before_it_is_made() -> None:
    async with desk() as (tools, engine, gate):
        key = await Tenants(gate).limited(requests_per_minute=1)
        engine.always = answer(ADD)
        asks = DESK | {"require_approval": "always"}
        first = (await gate.request("POST", PATH, {"model": MODEL, "input": "Hi", "tools": [asks]}, key)).json
        yes = {"type": "mcp_approval_response", "approval_request_id": first["output"][-1]["id"], "approve": True}
        body = {"model": MODEL, "tools": [asks], "previous_response_id": first["id"], "input": [yes]}
        assert (await gate.request("POST", PATH, body, key)).status == 429
        assert not tools.called


@pytest.mark.parametrize(
    "call, outcome, told",
    [
        (("desk__fails", '{"text": "a"}'), "tool_error", "out of paper"),
        (("desk__hangs", "{}"), "timeout", "did not answer in time"),
        (("desk__huge", '{"letters": 5000000}'), "too_large", "larger than"),
        (("desk__add", "[1]"), "tool_error", "not a JSON object"),
        (("desk__add", '{"a": "x", "b": 2}'), "tool_error", "a"),
    ],
)
async def test_a_call_that_fails_is_told(call: tuple[str, str], outcome: str, told: str) -> None:
    async with desk(timeout_s=0.5) as (_tools, engine, gate):
        engine.plan(answer(Reply("", tool_calls=(call,))), answer("It does not work."))
        events = await events_of(gate, tools=[DESK])
        response = events[-1]["response"]
        assert response["status"] == "completed"
        called = item(response, "mcp_call")
        assert (called["status"], called["output"]) == ("failed", None)
        assert told in json.dumps(called["error"])
        assert "mcp_call.failed" in shortened(events)
        message = engine.calls[1].json["messages"][-1]
        assert message["content"].startswith("Error: ")
        assert told in message["content"]
        if outcome != "tool_error" or "[1]" not in call[1]:
            assert gate.metric("portico_tool_calls_total", server="desk", outcome=outcome) == 1


async def test_long_output_is_cut() -> None:
    async with desk(bounds={"max_output_bytes": 300}) as (_tools, engine, gate):
        engine.plan(answer(Reply("", tool_calls=(("desk__huge", '{"letters": 100000}'),))), answer("Long."))
        called = item((await ask(gate, tools=[DESK])).json, "mcp_call")
        assert called["output"] == "x" * 294 + "\n(cut)"


async def test_a_server_that_is_down() -> None:
    async with EngineDouble() as engine, portico(engine, tools=NOBODY) as gate:
        engine.always = answer("I can do without.")
        events = await events_of(gate, tools=[DESK])
        listed = item(events[-1]["response"], "mcp_list_tools")
        assert (listed["tools"], listed["error"]) == ([], "The tool server cannot be reached.")
        assert "mcp_list_tools.failed" in shortened(events)
        assert events[-1]["response"]["status"] == "completed"
        assert "tools" not in engine.calls[0].json
        assert gate.metric("portico_tool_lists_total", server="desk", outcome="unreachable") == 1


async def test_code_that_nobody_can_run() -> None:
    config = {"servers": {"py": NOBODY["servers"]["desk"] | {"role": "code_interpreter"}}}
    async with EngineDouble() as engine, portico(engine, tools=config) as gate:
        reply = await ask(gate, tools=[{"type": "code_interpreter", "container": {"type": "auto"}}])
        assert (reply.status, reply.error["code"]) == (503, "tool_unavailable")
        assert not engine.calls


async def test_a_server_that_hangs_is_left_when_the_client_leaves() -> None:
    async with desk() as (tools, engine, gate):
        engine.always = answer(Reply("", tool_calls=(("desk__hangs", "{}"),)))
        async with opened(gate, stream=True):
            await eventually(lambda: tools.called)
        await eventually(lambda: not gate.parts.gateway.runs)
        await eventually(lambda: gate.metric("portico_tool_calls_total", server="desk", outcome="cancelled") == 1)
        assert len(engine.calls) == 1


async def test_a_client_that_leaves_amid_a_later_round_ends_it() -> None:
    async with desk() as (_tools, engine, gate):
        engine.plan(answer(ADD), hang(after=2))
        async with opened(gate, stream=True):
            await eventually(lambda: len(engine.calls) == 2)
        await eventually(engine.calls[1].left.is_set)
        await eventually(lambda: not gate.parts.gateway.runs)


async def test_lists_are_remembered_and_told_once_in_a_conversation() -> None:
    async with desk() as (tools, engine, gate):
        engine.always = answer("Hi.")
        first = (await ask(gate, tools=[DESK])).json
        asked = len(tools.methods)
        second = (await ask(gate, tools=[DESK], previous_response_id=first["id"])).json
        assert (kinds(first), kinds(second)) == (["mcp_list_tools", "message"], ["message"])
        assert len(tools.methods) == asked
        assert engine.calls[0].json["tools"] == engine.calls[1].json["tools"]


async def test_a_call_of_a_clients_function_ends_the_response() -> None:
    async with desk() as (_tools, engine, gate):
        both = Reply("", tool_calls=(("desk__add", '{"a": 1, "b": 2}'), ("weather", "{}")))
        engine.plan(answer(both), answer("Cold, and 3."))
        first = (await ask(gate, tools=[DESK, WEATHER])).json
        assert kinds(first) == ["mcp_list_tools", "mcp_call", "function_call"]
        assert item(first, "mcp_call")["output"] == "3"
        result = {"type": "function_call_output", "call_id": item(first, "function_call")["call_id"], "output": "cold"}
        second = (await ask(gate, tools=[DESK, WEATHER], previous_response_id=first["id"], input=[result])).json
        assert kinds(second) == ["message"]
        assert [one["role"] for one in engine.calls[1].json["messages"]] == ["user", *["assistant", "tool"] * 2]


async def test_bounds_of_calls_and_rounds() -> None:
    async with desk(bounds={"max_rounds": 3}) as (tools, engine, gate):
        engine.always = answer(ADD)
        response = (await ask(gate, tools=[DESK, WEATHER])).json
        assert (len(engine.calls), len(tools.called)) == (3, 2)
        assert [one["function"]["name"] for one in engine.calls[-1].json["tools"]] == ["weather"]
        statuses = [one["status"] for one in response["output"] if one["type"] == "mcp_call"]
        assert (response["status"], statuses) == ("completed", ["completed", "completed", "failed"])
        engine.plan(answer(ADD), answer("Enough."))
        tools.called.clear()
        few = (await ask(gate, tools=[DESK], max_tool_calls=1)).json
        assert (kinds(few)[-1], len(tools.called)) == ("message", 1)
        assert "tools" not in engine.calls[-1].json


async def test_tokens_of_all_rounds_together_are_bounded() -> None:
    async with desk() as (tools, engine, gate):
        engine.plan(answer(ADD), answer("It is 3."))
        await ask(gate, tools=[DESK], max_output_tokens=50)
        assert [one.json["max_tokens"] for one in engine.calls] == [50, 50 - ADD.tokens]
        engine.plan(answer(ADD))
        response = (await ask(gate, tools=[DESK], max_output_tokens=ADD.tokens)).json
        assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert item(response, "mcp_call")["status"] == "completed"
        engine.plan(answer(Reply("", tool_calls=ADD.tool_calls * 2, finish="length")))
        tools.called.clear()
        cut = (await ask(gate, tools=[DESK])).json
        assert cut["status"] == "incomplete"
        assert [one["status"] for one in cut["output"] if one["type"] == "mcp_call"] == ["incomplete"] * 2
        assert not tools.called


async def test_a_forced_tool_is_forced_once() -> None:
    async with desk() as (_tools, engine, gate):
        for choice in ("required", {"type": "mcp", "server_label": "desk", "name": "add"}):
            engine.plan(answer(ADD), answer("3."))
            await ask(gate, tools=[DESK], tool_choice=choice)
            first, second = (one.json for one in engine.calls[-2:])
            assert first["tool_choice"] == "required"
            assert second.get("tool_choice") in (None, "auto")
        assert [one["function"]["name"] for one in engine.calls[-2].json["tools"]] == ["desk__add"]


async def test_which_tools_are_offered() -> None:
    async with desk(allowed_tools=["add", "echo", "fails"]) as (_tools, engine, gate):
        for asked, offered in (
            (DESK, ["add", "echo", "fails"]),
            (DESK | {"allowed_tools": ["echo", "hangs"]}, ["echo"]),
            (DESK | {"allowed_tools": {"read_only": True}}, ["add"]),
        ):
            listed = item((await ask(gate, tools=[asked])).json, "mcp_list_tools")
            assert [one["name"] for one in listed["tools"]] == offered
            sent = [one["function"]["name"] for one in engine.calls[-1].json["tools"]]
            assert sent == [f"desk__{name}" for name in offered]


@pytest.mark.parametrize(
    "tool, param",
    [
        ({"server_label": "other"}, "tools[0].server_label"),
        ({"server_url": "http://169.254.169.254/latest"}, "tools[0].server_url"),
        ({"headers": {"authorization": "Bearer x"}}, "tools[0].headers"),
        ({"authorization": "x"}, "tools[0].authorization"),
        ({"server_label": "gmail", "connector_id": "connector_gmail"}, "tools[0].connector_id"),
        ({"server_label": "a__b"}, "tools[0].server_label"),
        ({"require_approval": "sometimes"}, "tools[0].require_approval"),
    ],
)
async def test_what_a_request_cannot_say(tool: dict[str, Any], param: str) -> None:
    async with desk() as (tools, engine, gate):
        reply = await ask(gate, tools=[DESK | tool])
        assert (reply.status, reply.error["param"]) == (400, param)
        if "server_label" in param or "url" in param:
            assert "desk" in reply.error["message"] or "a__b" in str(tool)
        assert tools.url not in reply.error["message"]
        assert (len(engine.calls), tools.methods) == (0, [])


async def test_a_server_by_its_url_and_those_of_other_projects() -> None:
    async with desk(further={"secret": {"projects": ["proj_x"]}}) as (tools, engine, gate):
        by_url = DESK | {"server_label": "mine", "server_url": tools.url}
        engine.plan(answer(Reply("", tool_calls=(("mine__add", '{"a": 1, "b": 2}'),))), answer("3."))
        assert item((await ask(gate, tools=[by_url])).json, "mcp_call")["server_label"] == "mine"
        reply = await ask(gate, tools=[DESK | {"server_label": "secret"}])
        assert (reply.status, reply.error["param"]) == (400, "tools[0].server_label")
        assert "secret" not in reply.error["message"]


async def test_a_tool_server_gets_arguments_and_its_own_headers_alone() -> None:
    async with desk(headers={"authorization": "Bearer operators"}) as (tools, engine, gate):
        engine.plan(answer(ADD), answer("3."))
        await ask(gate, tools=[DESK], input="My secret is swordfish", user="someone")
        assert {one["authorization"] for one in tools.headers} == {"Bearer operators"}
        assert KEY not in json.dumps(tools.headers)
        assert "operators" not in gate.log_text()
        await eventually(lambda: tools.methods.count("DELETE") == 2)  # one session for the list, one for the call


def policy(folder: Path, rule: str) -> dict[str, str]:
    path = folder / "house.yaml"
    path.write_text(f"name: h\nversion: 1\nrules: [{{id: r, category: own, literals: [lantern], {rule}}}]\n")
    return {"policy": str(path)}


LANTERN = Reply("", tool_calls=(("desk__echo", '{"text": "a lant\\u0065rn"}'),))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_policy_sees_what_tools_say_before_anybody(stream: bool, tmp_path: Path) -> None:
    blocks = policy(tmp_path, "action: block, directions: [input], channels: [content]")
    async with desk(moderation=blocks) as (_tools, engine, gate):
        engine.always = answer(LANTERN)
        if stream:
            events = await events_of(gate, tools=[DESK])
            response = events[-1]["response"]
            assert (events[-2]["code"], events[-2]["param"]) == ("content_filter", "output[1]")
        else:
            response = (await ask(gate, tools=[DESK])).json
        assert (response["status"], len(engine.calls)) == ("failed", 1)
        called = item(response, "mcp_call")
        assert (called["status"], called["output"]) == ("incomplete", None)
        assert "lantern" not in json.dumps(response)


async def test_a_policy_replaces_what_tools_say(tmp_path: Path) -> None:
    redacts = policy(tmp_path, "action: redact, replacement: '[x]', directions: [input], channels: [content]")
    async with desk(moderation=redacts) as (_tools, engine, gate):
        engine.plan(answer(LANTERN), answer("Good."), answer("Good."))
        first = (await ask(gate, tools=[DESK])).json
        assert item(first, "mcp_call")["output"] == "a [x]"
        assert engine.calls[1].json["messages"][-1]["content"] == "a [x]"
        await ask(gate, previous_response_id=first["id"], input="And?")
        assert engine.calls[2].json["messages"][2]["content"] == "a [x]"


async def test_what_a_policy_keeps_from_answers_reaches_no_tool(tmp_path: Path) -> None:
    redacts = policy(tmp_path, "action: redact, replacement: '[x]', directions: [output]")
    async with desk(moderation=redacts) as (tools, engine, gate):
        engine.plan(answer(LANTERN), answer("Good."))
        await ask(gate, tools=[DESK])
        assert tools.called == [("echo", "a [x]")]


async def test_in_the_background() -> None:
    async with desk() as (_tools, engine, gate):
        engine.plan(answer(ADD), answer("It is 3."))
        reply = await begin(gate, tools=[DESK])
        assert (reply.status, reply.json["status"]) == (200, "queued")
        response = await becomes(gate, reply.json["id"], "completed")
        assert kinds(response) == ["mcp_list_tools", "reasoning", "mcp_call", "message"]
        again = await gate.request("GET", f"{PATH}/{response['id']}?stream=true")
        events = background_events(again)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["response"] == response


async def test_one_in_the_background_is_cancelled_while_a_tool_runs() -> None:
    async with desk() as (tools, engine, gate):
        engine.always = answer(Reply("", tool_calls=(("desk__hangs", "{}"),)))
        reply = await begin(gate, tools=[DESK])
        await eventually(lambda: tools.called)
        cancelled = await gate.request("POST", f"{PATH}/{reply.json['id']}/cancel")
        assert cancelled.json["status"] == "cancelled"
        await eventually(lambda: not gate.parts.gateway.runs)
        assert gate.metric("portico_tool_calls_total", server="desk", outcome="cancelled") == 1


async def test_a_server_that_stops_lets_rounds_go_on_and_then_ends_them() -> None:
    async with desk() as (tools, engine, gate):
        engine.plan(*(answer(Reply("", tool_calls=((f"desk__{name}", "{}"),))) for name in ("waits", "hangs")))
        engine.always = answer("At last.")
        async with opened(gate) as one:
            await eventually(lambda: tools.called == [("waits", None)])
            async with opened(gate) as two:
                await eventually(lambda: len(tools.called) == 2)
                gate.parts.gateway.drain()
                tools.release.set()
                assert (await one.reply()).json["status"] == "completed"
                gate.parts.gateway.end_all()
                ended = (await two.reply()).json
                assert (ended["status"], ended["error"]["code"]) == ("failed", "server_error")


async def test_the_tokens_of_tools_are_counted() -> None:
    async with desk() as (_tools, _engine, gate):
        plain = await gate.request("POST", f"{PATH}/input_tokens", {"model": MODEL, "input": "Hi"})
        body = {"model": MODEL, "input": "Hi", "tools": [DESK]}
        more = await gate.request("POST", f"{PATH}/input_tokens", body)
        assert more.json["input_tokens"] > plain.json["input_tokens"] + 50


async def test_without_tool_servers() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for kind in ("mcp", "code_interpreter", "web_search"):
            reply = await ask(gate, tools=[{"type": kind, "server_label": "desk"}])
            assert (reply.status, reply.error["param"]) == (400, "tools[0].type")
        assert not engine.calls


async def test_code() -> None:
    async with desk(further={"py": {"role": "code_interpreter"}}) as (tools, engine, gate):
        runs = {"type": "code_interpreter", "container": {"type": "auto"}}
        engine.plan(
            answer(Reply("", tool_calls=(("code_interpreter", '{"code": "print(1)"}'),))),
            answer("1."),
            answer("2."),
        )
        events = await events_of(gate, tools=[runs])
        names = [f"code_interpreter_call{name}" for name in (".in_progress", "_code.delta", "_code.done")]
        names += ["code_interpreter_call.interpreting", "code_interpreter_call.completed"]
        assert shortened(events)[2:9] == ["output_item.added", *names, "output_item.done"]
        called = events[-1]["response"]["output"][0]
        assert (called["code"], called["outputs"]) == ("print(1)", [{"type": "logs", "logs": "ran print(1)"}])
        assert tools.called == [("python", "print(1)")]
        further = (await ask(gate, previous_response_id=events[-1]["response"]["id"], input="And?")).json
        assert kinds(further) == ["message"]
        told = engine.calls[-1].json["messages"][1:3]
        assert told[0]["tool_calls"][0]["function"] == {
            "name": "code_interpreter",
            "arguments": '{"code":"print(1)"}',
        }
        assert told[1]["content"] == "ran print(1)"
        bad = await ask(gate, tools=[runs | {"container": {"type": "auto", "file_ids": ["file_1"]}}])
        assert (bad.status, bad.error["param"]) == (400, "tools[0].container.file_ids")
        label = await ask(gate, tools=[DESK | {"server_label": "py"}])
        assert label.status == 400
