"""The tool `web_search`: a real MCP server with the tools of gpt-oss's browser, a scripted engine."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response

from tests.behaviour.engine_double import EngineDouble, answer
from tests.behaviour.mcp_server import ToolServer, browser
from tests.behaviour.serving import MODEL, Gate, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.test_responses import PATH, ask, events_of, is_response, shortened
from tests.behaviour.test_tool_runs import DESK, NOBODY, desk, item, kinds, policy
from tests.behaviour.vllm import Reply
from tests.openai_schema import validator

WEB: dict[str, Any] = {"type": "web_search"}
SEARCHES = Reply("", reasoning="I look.", tool_calls=(("web_search__search", '{"query": "owls"}'),))


def web(**further: Any) -> AbstractAsyncContextManager[tuple[ToolServer, EngineDouble, Gate]]:
    return desk(form={"make": browser}, role="web_search", **further)


async def test_a_search_and_the_answer_made_of_it() -> None:
    async with web() as (tools, engine, gate), gate.sdk() as client:
        engine.plan(answer(SEARCHES), answer("Owls are birds."))
        response: Response = await client.responses.create(model=MODEL, input="Owls?", tools=[WEB])  # type: ignore[list-item]
        assert [one.type for one in response.output] == ["reasoning", "web_search_call", "message"]
        is_response(json.loads(response.to_json()))
        called = item(json.loads(response.to_json()), "web_search_call")
        assert called["id"].startswith("ws_")
        assert called | {"id": ""} == {
            "id": "",
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "owls", "queries": ["owls"]},
        }
        assert tools.called == [("search", "owls")]
        first, second = (one.json for one in engine.calls)
        names = [one["function"]["name"] for one in first["tools"]]
        assert names == ["web_search__search", "web_search__open", "web_search__find"]
        *_, asked, told = second["messages"]
        assert asked["tool_calls"][0]["function"] == {"name": "web_search__search", "arguments": '{"query": "owls"}'}
        assert (told["role"], told["content"]) == ("tool", "[0] found owls")


async def test_every_event_of_a_stream_in_its_order() -> None:
    async with web() as (_tools, engine, gate):
        engine.plan(answer(SEARCHES), answer("Owls are birds."))
        events = await events_of(gate, tools=[WEB], store=False)
        begun = shortened(events).index("reasoning_text.done") + 3
        searched = [f"web_search_call.{name}" for name in ("in_progress", "searching", "completed")]
        assert shortened(events)[begun : begun + 5] == ["output_item.added", *searched, "output_item.done"]
        added, done = (one["item"] for one in events if one.get("item", WEB)["type"] == "web_search_call")
        assert (added["status"], done["status"]) == ("in_progress", "completed")
        assert added["action"] == done["action"] == {"type": "search", "query": "owls", "queries": ["owls"]}
        assert events[-1]["response"]["output"][1] == done
        assert "found owls" not in json.dumps(events)


async def test_what_was_found_is_kept_for_the_model_alone() -> None:
    async with web() as (_tools, engine, gate):
        opens = Reply("", tool_calls=(("web_search__open", '{"id": 3}'), ("web_search__find", '{"pattern": "beak"}')))
        engine.plan(answer(SEARCHES), answer(opens), answer("Owls have beaks."), answer("Yes."))
        first = (await ask(gate, tools=[WEB])).json
        actions = [one["action"] for one in first["output"] if one["type"] == "web_search_call"]
        assert actions[1:] == [
            {"type": "open_page", "url": None},
            {"type": "find_in_page", "pattern": "beak", "url": "about:blank"},
        ]
        second = (await ask(gate, previous_response_id=first["id"], input="Sure?")).json
        before, after = (call.json["messages"] for call in engine.calls[-2:])
        assert after[1 : len(before)] == before[1:]
        told = [one["content"] for one in after if one["role"] == "tool"]
        assert told == ["[0] found owls", "[1] page 3", "[2] beak in line 3"]
        again = (await gate.request("GET", f"{PATH}/{first['id']}")).json
        assert again == first
        items = (await gate.request("GET", f"{PATH}/{second['id']}/input_items")).json
        validator("ResponseItemList")(items)
        assert "found owls" not in json.dumps([first, items])


async def test_a_conversation_keeps_it_too() -> None:
    async with web() as (_tools, engine, gate):
        engine.plan(answer(SEARCHES), answer("Owls are birds."), answer("Yes."))
        made = (await gate.request("POST", "/v1/conversations", {})).json["id"]
        for text in ("Owls?", "Sure?"):
            await ask(gate, tools=[WEB], conversation=made, input=text)
        assert [one["content"] for one in engine.calls[-1].json["messages"] if one["role"] == "tool"] == [
            "[0] found owls"
        ]
        listed = (await gate.request("GET", f"/v1/conversations/{made}/items")).json
        validator("ConversationItemList")(listed)
        assert "found owls" not in json.dumps(listed)


@pytest.mark.parametrize("include, found", [([], []), (["reasoning.encrypted_content"], ["[0] found owls"])])
async def test_items_that_a_client_hands_back(include: list[str], found: list[str]) -> None:
    async with web() as (_tools, engine, gate):
        engine.plan(answer(SEARCHES), answer("Owls are birds."), answer("Yes."), answer("Yes."))
        first = (await ask(gate, tools=[WEB], store=False, include=include)).json
        is_response(first)
        assert "found owls" not in json.dumps(first)
        further = [*first["output"], {"role": "user", "content": "Sure?"}]
        assert (await ask(gate, tools=[WEB], store=False, input=further)).json["status"] == "completed"
        assert [one["content"] for one in engine.calls[-1].json["messages"] if one["role"] == "tool"] == found
        secret, _ = await Tenants(gate).key()
        await gate.request("POST", PATH, {"model": MODEL, "input": further}, secret)
        assert all(one["role"] != "tool" for one in engine.calls[-1].json["messages"])


async def test_a_search_that_fails_is_told() -> None:
    async with web() as (_tools, engine, gate):
        engine.plan(answer(Reply("", tool_calls=(("web_search__search", '{"query": "nothing"}'),))), answer("Sorry."))
        events = await events_of(gate, tools=[WEB])
        response = events[-1]["response"]
        assert (response["status"], item(response, "web_search_call")["status"]) == ("completed", "failed")
        assert engine.calls[1].json["messages"][-1]["content"].startswith("Error: ")


async def test_half_a_search_is_not_made() -> None:
    async with web() as (tools, engine, gate):
        engine.plan(answer(Reply("", tool_calls=SEARCHES.tool_calls * 2, finish="length")))
        response = (await ask(gate, tools=[WEB])).json
        is_response(response)
        assert response["status"] == "incomplete"
        assert [one["status"] for one in response["output"]] == ["failed"]
        assert not tools.called


async def test_a_server_that_is_down() -> None:
    config = {"servers": {"web": NOBODY["servers"]["desk"] | {"role": "web_search"}}}
    async with EngineDouble() as engine, portico(engine, tools=config) as gate:
        reply = await ask(gate, tools=[WEB])
        assert (reply.status, reply.error["code"]) == (503, "tool_unavailable")
        assert not engine.calls


@pytest.mark.parametrize(
    "choice",
    [WEB, {"type": "web_search_preview"}, {"type": "allowed_tools", "mode": "required", "tools": [WEB]}],
    ids=["now", "before", "among others"],
)
async def test_a_forced_search(choice: dict[str, Any]) -> None:
    async with web() as (_tools, engine, gate):
        engine.plan(answer(SEARCHES), answer("Birds."))
        weather = {"type": "function", "name": "weather", "parameters": {}}
        response = (await ask(gate, tools=[WEB, weather], tool_choice=choice)).json
        assert kinds(response) == ["reasoning", "web_search_call", "message"]
        if choice != WEB:  # OpenAI's service knows it, and its schema does not
            is_response(response)
        first, second = (one.json for one in engine.calls)
        assert (first["tool_choice"], len(first["tools"])) == ("required", 3)
        assert second.get("tool_choice") in (None, "auto")


@pytest.mark.parametrize("kind", ["web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"])
async def test_what_a_request_can_say(kind: str) -> None:
    async with web(allowed_tools=["search"]) as (_tools, engine, gate):
        engine.always = answer("Hi.")
        where = {"type": "approximate", "country": "FR", "city": "Paris", "region": None, "timezone": "Europe/Paris"}
        asked = {"type": kind, "search_context_size": "low", "user_location": where, "filters": None}
        response = (await ask(gate, tools=[asked], include=["web_search_call.action.sources"])).json
        is_response(response)
        assert [one["function"]["name"] for one in engine.calls[0].json["tools"]] == ["web_search__search"]


@pytest.mark.parametrize(
    "tool, param",
    [
        ({"filters": {"allowed_domains": ["a.org"]}}, "tools[0].filters.allowed_domains"),
        ({"filters": {"blocked_domains": ["a.org"]}}, "tools[0].filters.blocked_domains"),
        ({"external_web_access": False}, "tools[0].external_web_access"),
        ({"search_context_size": "huge"}, "tools[0].search_context_size"),
        ({"user_location": {"type": "exact"}}, "tools[0].user_location.type"),
    ],
)
async def test_what_a_request_cannot_say(tool: dict[str, Any], param: str) -> None:
    async with web() as (tools, engine, gate):
        reply = await ask(gate, tools=[WEB | tool])
        assert (reply.status, reply.error["param"]) == (400, param)
        assert (len(engine.calls), tools.methods) == (0, [])


async def test_servers_of_other_roles_do_not_search() -> None:
    async with desk() as (_tools, engine, gate):
        reply = await ask(gate, tools=[WEB])
        assert (reply.status, reply.error["param"]) == (400, "tools[0].type")
        chosen = await ask(gate, tools=[DESK], tool_choice=WEB)
        assert (chosen.status, chosen.error["param"]) == (400, "tool_choice")
        assert not engine.calls


@pytest.mark.parametrize("action", ["block", "redact, replacement: '[x]'"])
async def test_a_policy_sees_what_was_found(action: str, tmp_path: Path) -> None:
    rule = policy(tmp_path, f"action: {action}, directions: [input], channels: [content]")
    async with web(moderation=rule) as (_tools, engine, gate):
        query = Reply("", tool_calls=(("web_search__search", '{"query": "a lant\\u0065rn"}'),))
        engine.plan(answer(query), answer("Good."), answer("Good."))
        first = (await ask(gate, tools=[WEB])).json
        if action == "block":
            assert (first["status"], kinds(first), len(engine.calls)) == ("failed", ["web_search_call"], 1)
            assert item(first, "web_search_call")["status"] == "failed"
            return
        await ask(gate, previous_response_id=first["id"], input="And?")
        assert [call.json["messages"][2]["content"] for call in engine.calls[1:]] == ["[0] found a [x]"] * 2
