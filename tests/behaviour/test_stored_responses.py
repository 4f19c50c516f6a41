"""Responses that are stored: gone on from, shown, listed, deleted; and what happens when the store fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from server.responses.response import response_id
from server.stores.base import StoreDown
from server.stores.responses import ConversationRecord
from tests.behaviour.engine_double import EngineDouble, answer
from tests.behaviour.serving import MODEL, Gate, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.vllm import Reply
from tests.openai_schema import validator

PATH = "/v1/responses"
is_response = validator("Response")


async def ask(gate: Gate, key: str | None = None, **body: Any) -> dict[str, Any]:
    keys = {} if key is None else {"key": key}
    reply = await gate.request("POST", PATH, {"model": MODEL, "input": "Hello"} | body, **keys)
    assert reply.status == 200, reply.body
    return reply.json


async def test_a_response_is_shown_as_it_was_given_and_then_deleted() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.always = answer(Reply("Hi.", reasoning="They greet me."))
        given = await ask(gate)
        reply = await gate.request("GET", f"{PATH}/{given['id']}")
        assert reply.json == given
        deleted = await gate.request("DELETE", f"{PATH}/{given['id']}")
        assert deleted.json == {"id": given["id"], "object": "response", "deleted": True}
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(given["id"])
        with pytest.raises(openai.NotFoundError):
            await client.responses.delete(given["id"])
        unstored = await ask(gate, store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(unstored["id"])


async def test_another_projects_response_is_not_there() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        tenants = Tenants(gate)
        ours, theirs = await tenants.limited(), await tenants.limited()
        given = (await ask(gate, ours))["id"]
        for method, path in (
            ("GET", given),
            ("DELETE", given),
            ("GET", f"{given}/input_items"),
            ("POST", f"{given}/cancel"),
        ):
            reply = await gate.request(method, f"{PATH}/{path}", key=theirs)
            assert (reply.status, reply.error["code"]) == (404, "not_found")
        body = {"model": MODEL, "input": "And?"}
        for more in (
            {"previous_response_id": given},
            {"input": [{"type": "item_reference", "id": given.replace("resp_", "msg_") + "0000"}]},
        ):
            reply = await gate.request("POST", PATH, body | more, key=theirs)
            assert (reply.status, reply.error["code"]) == (404, "not_found")
        assert len(engine.calls) == 1


async def test_a_chain_of_turns() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        latest = None
        for turn in range(5):
            engine.plan(answer(Reply(f"answer {turn}", reasoning=f"thought {turn}")))
            response = await ask(
                gate, input=f"question {turn}", previous_response_id=latest, instructions=f"rule {turn}"
            )
            assert response["previous_response_id"] == latest
            latest = response["id"]
        messages = engine.calls[-1].json["messages"]
        assert messages[0] == {"role": "system", "content": "rule 4"}, "instructions are those of one turn alone"
        said = [
            one["content"] if isinstance(one["content"], str) else one["content"][0]["text"] for one in messages[1:]
        ]
        expected = [text for turn in range(5) for text in (f"question {turn}", f"answer {turn}")][:-1]
        assert said == expected
        assert [one["reasoning"] for one in messages if one["role"] == "assistant"] == [
            f"thought {n}" for n in range(4)
        ]


@pytest.mark.parametrize("stream", [False, True])
async def test_whoever_has_the_answer_finds_it_on_every_worker(stream: bool, tmp_path: Path) -> None:
    stores = {"durable": f"sqlite:///{tmp_path}/portico.db"}
    async with EngineDouble() as engine, portico(engine, stores=stores) as one, portico(engine, stores=stores) as two:
        async with one.sdk() as here, two.sdk() as there:
            latest: Any = None
            for client in (here, there) * 5:
                request: Any = {"model": MODEL, "input": "Hello", "previous_response_id": latest}
                if stream:
                    async with client.responses.stream(**request) as events:
                        latest = (await events.get_final_response()).id
                else:
                    latest = (await client.responses.create(**request)).id
        assert len(engine.calls[-1].json["messages"]) == 19


async def test_the_input_of_a_response_in_pages() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "c", "output": "4"}
        said = {"role": "assistant", "content": "I said."}
        turns: Any = [{"role": "user", "content": f"{n}"} for n in range(4)]
        given = await ask(gate, input=[*turns, said, call, output, {"role": "user", "content": "last"}])
        reply = await gate.request("GET", f"{PATH}/{given['id']}/input_items?limit=2&order=asc")
        validator("ResponseItemList")(reply.json)
        assert reply.json["has_more"] is True
        whole = await gate.request("GET", f"{PATH}/{given['id']}/input_items")
        validator("ResponseItemList")(whole.json)
        assert whole.json["has_more"] is False
        pages = client.responses.input_items.list(given["id"], limit=3, order="asc")
        kinds = [item.type async for item in pages]
        assert kinds == ["message"] * 5 + ["function_call", "function_call_output", "message"]
        wrong = await gate.request("GET", f"{PATH}/{given['id']}/input_items?after=msg_x")
        assert wrong.status == 404
        wrong = await gate.request("GET", f"{PATH}/{given['id']}/input_items?limit=1000")
        assert (wrong.status, wrong.error["param"]) == (400, "limit")


async def test_items_are_referred_to() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(answer(Reply("Blue.", reasoning="Like the sky.")))
        given = await ask(gate, input="Which colour?")
        listed = await gate.request("GET", f"{PATH}/{given['id']}/input_items")
        ids = [listed.json["data"][0]["id"], *(one["id"] for one in given["output"])]
        references = [{"type": "item_reference", "id": one} for one in ids]
        again = await ask(gate, input=[*references, {"role": "user", "content": "Why?"}])
        question, blue, why = engine.calls[-1].json["messages"]
        assert question["content"][0]["text"] == "Which colour?"
        assert (blue["content"], blue["reasoning"], why["content"]) == ("Blue.", "Like the sky.", "Why?")
        listed = await gate.request("GET", f"{PATH}/{again['id']}/input_items?order=asc")
        assert [one["id"] for one in listed.json["data"]][:3] == ids


async def test_what_cannot_be_done_with_a_response_that_has_ended() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        given = (await ask(gate))["id"]
        cancelled = await gate.request("POST", f"{PATH}/{given}/cancel")
        assert (cancelled.status, cancelled.error["code"]) == (400, "invalid_state")
        streamed = await gate.request("GET", f"{PATH}/{given}?stream=true")
        assert (streamed.status, streamed.error["param"]) == (400, "stream")


async def test_tokens_are_counted_with_all_that_is_gone_on_from() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        alone = await client.responses.input_tokens.count(model=MODEL, input="And?")
        first = (await ask(gate))["id"]
        further = await client.responses.input_tokens.count(model=MODEL, input="And?", previous_response_id=first)
        assert 60 < alone.input_tokens < further.input_tokens
        with pytest.raises(openai.NotFoundError):
            await client.responses.input_tokens.count(model=MODEL, input="And?", previous_response_id="resp_x")


async def test_a_conversation_goes_on() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        durable = gate.parts.durable
        tenants = Tenants(gate)
        project = await tenants.project()
        key, _ = await tenants.key(project)
        await durable.create_conversation(ConversationRecord("conv_1", project.id, 0, {}), [])
        first = await ask(gate, key, conversation="conv_1", input="one")
        assert first["conversation"] == {"id": "conv_1"}
        await ask(gate, key, conversation={"id": "conv_1"}, input="two")
        assert [one["role"] for one in engine.calls[-1].json["messages"]] == ["user", "assistant", "user"]
        reply = await gate.request(
            "POST", PATH, {"model": MODEL, "input": "x", "previous_response_id": first["id"]}, key
        )
        assert (reply.status, reply.error["param"]) == (400, "previous_response_id")


async def test_a_store_that_is_down_costs_nobody_his_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        given = (await ask(gate))["id"]

        async def down(*_: object, **__: object) -> Any:
            raise StoreDown("the database cannot be reached")

        for name in ("add_response", "history", "response"):
            monkeypatch.setattr(gate.parts.durable, name, down)
        assert (await ask(gate))["status"] == "completed"
        assert gate.metric("portico_responses_lost_total") == 1
        assert "a response was not stored: the database cannot be reached" in gate.log_text()
        reply = await gate.request("POST", PATH, {"model": MODEL, "input": "x", "previous_response_id": given})
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        reply = await gate.request("GET", f"{PATH}/{given}")
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")


async def test_a_client_that_leaves_while_its_history_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        looked, go = asyncio.Event(), asyncio.Event()

        async def slow(*_: object) -> list[Any]:
            looked.set()
            await go.wait()
            return []

        monkeypatch.setattr(gate.parts.durable, "history", slow)
        body = {"model": MODEL, "input": "Hello", "previous_response_id": "resp_1"}
        task = asyncio.create_task(gate.request("POST", PATH, body))
        await looked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.sleep(0.05)
        assert not engine.calls
        assert gate.metric("portico_requests_total", model="", endpoint="responses", outcome="client_gone") == 1


def test_the_id_of_a_response_is_that_of_its_request() -> None:
    assert response_id("req_0123") == "resp_0123"
