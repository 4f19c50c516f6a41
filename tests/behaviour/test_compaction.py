"""Conversations that are compacted: by /v1/responses/compact, and by an item at the end of an input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.behaviour.engine_double import EngineDouble, answer, breaks, error
from tests.behaviour.serving import MODEL, Gate, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.test_responses import WEATHER, events_of, shortened
from tests.behaviour.vllm import Reply
from tests.openai_schema import validator

PATH = "/v1/responses"
TRIGGER: Any = {"type": "compaction_trigger"}
AND: Any = {"role": "user", "content": "And now?"}
CALL: Any = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "c", "output": "4 degrees"}
TALK: list[Any] = [
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": "How is it?"},
    CALL,
    OUTPUT,
    {"role": "assistant", "content": "Cold."},
    {"role": "user", "content": "And in Rome?"},
]
SUMMARY = answer(Reply("It is 4 degrees. Rome is next.", reasoning="Let me sum up."))


async def compact(gate: Gate, key: Any = None, **body: Any) -> Any:
    more = {} if key is None else {"key": key}
    return await gate.request("POST", f"{PATH}/compact", {"model": MODEL, "input": TALK} | body, **more)


def told(engine: EngineDouble) -> list[tuple[str, str]]:
    """Role and text of what the engine was last sent."""
    found: list[tuple[str, str]] = []
    for one in engine.calls[-1].json["messages"]:
        content = one.get("content") or ""
        found.append((one["role"], content if isinstance(content, str) else "".join(p["text"] for p in content)))
    return found


async def test_the_window_is_what_users_said_and_a_summary() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.plan(SUMMARY)
        reply = await compact(gate, tools=[WEATHER], instructions="Rules.")
        validator("CompactResource")(reply.json)
        assert (reply.status, reply.json["object"]) == (200, "response.compaction")
        *said, item = reply.json["output"]
        assert [one["content"][0]["text"] for one in said] == ["How is it?", "And in Rome?"]
        assert (item["type"], item["id"][:4]) == ("compaction", "cmp_")
        assert reply.json["usage"]["output_tokens"] > 0
        assert "Rome" not in item["encrypted_content"], "it is sealed"
        asked = engine.calls[-1].json
        assert "tools" not in asked, "the model is to write, not to call"
        assert told(engine)[:2] == [("system", "Rules."), ("developer", "Be kind.")]
        assert told(engine)[-1][1].startswith("Summarise the conversation so far")

        window: Any = reply.json["output"]
        await client.responses.create(model=MODEL, input=[*window, AND])
        roles = [role for role, _ in told(engine)]
        assert roles == ["user"] * 4
        assert told(engine)[2][1].endswith("It is 4 degrees. Rome is next.")
        assert told(engine)[3][1] == "And now?"


async def test_the_sdk_compacts_a_stored_chain_and_goes_on() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        first = await client.responses.create(model=MODEL, input="How is it?")
        engine.plan(SUMMARY)
        window = await client.responses.compact(model=MODEL, input="And in Rome?", previous_response_id=first.id)
        assert [one.type for one in window.output] == ["message", "message", "compaction"]
        again: Any = [one.to_dict() for one in window.output]
        second = await client.responses.create(model=MODEL, input=again)
        await client.responses.create(model=MODEL, input=[AND], previous_response_id=second.id)
        assert [role for role, _ in told(engine)] == ["user", "user", "user", "assistant", "user"]
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(window.id)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_item_at_the_end_asks_for_it(stream: bool) -> None:
    """As Codex does."""
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(SUMMARY)
        body: dict[str, Any] = {"model": MODEL, "input": [*TALK, TRIGGER], "tools": [WEATHER]}
        if stream:
            events = await events_of(gate, **body)
            kinds = ["created", "in_progress", "output_item.added", "output_item.done", "completed"]
            assert shortened(events) == kinds
            response = events[-1]["response"]
        else:
            response = (await gate.request("POST", PATH, body)).json
            validator("Response")(response)
        (item,) = response["output"]
        assert item["type"] == "compaction"
        await gate.request("POST", PATH, {"model": MODEL, "input": [AND], "previous_response_id": response["id"]})
        assert [role for role, _ in told(engine)] == ["developer", "user", "user", "user", "user"]
        assert told(engine)[3][1].endswith("It is 4 degrees. Rome is next.")
        listed = await gate.request("GET", f"{PATH}/{response['id']}/input_items?order=asc")
        validator("ResponseItemList")(listed.json)
        assert len(listed.json["data"]) == len(TALK), "the request for it is no item"


async def test_what_comes_before_a_compaction_need_not_be_left_out() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(SUMMARY)
        item = (await compact(gate)).json["output"][-1]
        await gate.request("POST", PATH, {"model": MODEL, "input": [*TALK, item, AND]})
        assert [role for role, _ in told(engine)] == ["developer", "user", "user", "user", "user"]
        # and one after the other
        engine.plan(SUMMARY)
        second = (await compact(gate, input=[*TALK, item, AND])).json["output"]
        assert [one["type"] for one in second] == ["message"] * 3 + ["compaction"]


async def test_a_compaction_of_another_project_is_refused() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(SUMMARY)
        item = (await compact(gate)).json["output"][-1]
        theirs, _ = await Tenants(gate).key()
        asked = {"model": MODEL, "input": [item, AND]}
        reply = await gate.request("POST", PATH, asked, key=theirs)
        assert (reply.status, reply.error["param"]) == (400, "input[0].encrypted_content")
        assert "this project" in reply.error["message"]
        for token in ("c1.AAAA", "", "x", item["encrypted_content"][:-8]):
            reply = await gate.request("POST", PATH, asked | {"input": [item | {"encrypted_content": token}, AND]})
            assert (reply.status, reply.error["param"]) == (400, "input[0].encrypted_content")
        assert len(engine.calls) == 1


async def test_reasoning_and_summaries_are_not_each_other() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(SUMMARY)
        item = (await compact(gate)).json["output"][-1]
        include = {"include": ["reasoning.encrypted_content"]}
        thought = (await gate.request("POST", PATH, {"model": MODEL, "input": "x"} | include)).json["output"][0]
        reasoning = thought | {"encrypted_content": item["encrypted_content"]}
        await gate.request("POST", PATH, {"model": MODEL, "input": [AND, reasoning, AND]})
        assert [role for role, _ in told(engine)] == ["user", "user"], "no reasoning of ours"
        swapped = item | {"encrypted_content": thought["encrypted_content"]}
        assert (await gate.request("POST", PATH, {"model": MODEL, "input": [swapped, AND]})).status == 400


async def test_what_cannot_be_compacted() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for body, param in (
            ({"input": []}, "input"),
            ({"input": None}, "input"),
            ({"input": [TRIGGER, AND]}, "input[0]"),
            ({"input": [CALL]}, "input[0]"),
            ({"temperature": 1}, "temperature"),
            ({"input": "x", "previous_response_id": "resp_x"}, "previous_response_id"),
        ):
            reply = await compact(gate, **body)
            assert (reply.status in (400, 404), reply.error["param"]) == (True, param), body
        management: Any = {"context_management": [{"type": "compaction", "compact_threshold": 1000}]}
        reply = await gate.request("POST", PATH, {"model": MODEL, "input": "x"} | management)
        assert (reply.status, reply.error["param"]) == (400, "context_management")
        assert "compaction_trigger" in reply.error["message"]
        assert engine.calls == []


async def test_a_summary_that_fails_stands_for_nothing() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for script in (error(500, "boom"), answer(Reply("", reasoning="Hm.")), breaks(after=2)):
            engine.always = script
            reply = await compact(gate)
            assert (reply.status, reply.error["code"]) == (502, "engine_error")


async def test_it_is_a_call_like_any_other(tmp_path: Path) -> None:
    """Its usage counts, its key is asked, and policies look at the conversation and at the summary."""
    policy = tmp_path / "house.yaml"
    rule = "{id: r, category: own, literals: [lantern], action: block}"
    policy.write_text(f"name: h\nversion: 1\nrules: [{rule}]\n")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        bad = {"role": "user", "content": "the lantern"}
        reply = await compact(gate, input=[bad, AND])
        assert (reply.error["code"], reply.error["param"]) == ("content_filter", "input[0].content")
        assert engine.calls == []
        engine.plan(answer(Reply(["All about ", "the lan", "tern."])))
        reply = await compact(gate)
        assert (reply.status, reply.error["code"]) == (400, "content_filter")
        engine.plan(SUMMARY)
        assert (await compact(gate)).status == 200
        (line,) = [one for one in gate.log_lines() if one["status"] == 200]
        assert (line["endpoint"], line["completion_tokens"] > 0) == ("responses", True)
        none, _ = await Tenants(gate).key(endpoints=("chat.completions",))
        assert (await compact(gate, none)).status == 403


async def test_what_users_said_is_kept_as_far_as_it_fits() -> None:
    async with EngineDouble() as engine, portico(engine, model={"context_length": 1000}) as gate:
        engine.plan(SUMMARY)
        long: list[Any] = [{"role": "user", "content": f"{at} " + "word " * 100} for at in range(9)]
        *said, item = (await compact(gate, input=long)).json["output"]
        assert item["type"] == "compaction"
        assert [one["content"][0]["text"][0] for one in said] == ["6", "7", "8"]
