"""Responses that run in the background: polled, streamed again, cancelled, and what becomes of them when things end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from server.stores.base import StoreDown
from tests.behaviour.engine_double import EngineDouble, answer, breaks, hang
from tests.behaviour.serving import MODEL, Gate, eventually, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.vllm import Reply
from tests.behaviour.wire import Reply as HttpReply
from tests.openai_schema import validator

PATH = "/v1/responses"
is_response = validator("Response")
is_event = validator("ResponseStreamEvent")


async def begin(gate: Gate, **body: Any) -> HttpReply:
    return await gate.request("POST", PATH, {"model": MODEL, "input": "Hello", "background": True} | body)


async def becomes(gate: Gate, response_id: str, status: str) -> dict[str, Any]:
    response: dict[str, Any] = {}
    for _ in range(200):
        response = (await gate.request("GET", f"{PATH}/{response_id}")).json
        if response["status"] == status:
            is_response(response)
            return response
        await asyncio.sleep(0.05)
    raise AssertionError(f"it is {response.get('status')}")


def events_of(reply: HttpReply) -> list[dict[str, Any]]:
    blocks = [block for block in reply.body.decode().strip().split("\n\n") if not block.startswith(":")]
    events = [json.loads(block.split("\n")[1].removeprefix("data: ")) for block in blocks]
    for event in events:
        is_event(event)
    return events


async def test_one_is_polled_until_it_is_complete() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = answer(Reply("Hi.", reasoning="They greet me."), delay_s=0.05)
        reply = await begin(gate)
        is_response(reply.json)
        assert (reply.status, reply.json["status"], reply.json["background"]) == (200, "queued", True)
        response = await becomes(gate, reply.json["id"], "completed")
        assert response["output"][-1]["content"][0]["text"] == "Hi."
        further = await gate.request(
            "POST", PATH, {"model": MODEL, "input": "And?", "previous_response_id": response["id"]}
        )
        assert further.status == 200
        assert engine.calls[-1].json["messages"][1]["reasoning"] == "They greet me."


async def test_its_stream_is_read_again_from_any_place_on_any_worker(tmp_path: Path) -> None:
    stores = {"durable": f"sqlite:///{tmp_path}/portico.db"}
    async with EngineDouble() as engine, portico(engine, stores=stores) as one, portico(engine, stores=stores) as two:
        engine.always = answer("one two three four five six", delay_s=0.1)
        whole = events_of(await begin(one, stream=True))
        assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
        names = [event["type"].removeprefix("response.") for event in whole]
        assert names[:3] == ["created", "queued", "in_progress"]
        assert names[-1] == "completed"
        again = await two.request("GET", f"{PATH}/{whole[0]['response']['id']}?stream=true")
        assert events_of(again) == whole
        rest = await two.request("GET", f"{PATH}/{whole[0]['response']['id']}?stream=true&starting_after=4")
        assert events_of(rest) == whole[5:]
        last = whole[-1]["sequence_number"]
        nothing = await two.request("GET", f"{PATH}/{whole[0]['response']['id']}?stream=true&starting_after={last}")
        assert (nothing.status, nothing.body) == (200, b"")


async def test_it_goes_on_when_its_client_leaves() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = answer("one two three four five", delay_s=0.1)
        body = {"input": "Hello", "background": True, "stream": True, "model": MODEL}
        async with gate.sdk() as client:
            events = await client.responses.create(**body)  # type: ignore[call-overload]
            first = await anext(aiter(events))
            await events.response.aclose()
        assert (await becomes(gate, first.response.id, "completed"))["output"]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_it_is_cancelled(elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.state.runs.RENEW_S", 0.1)
    stores = {"durable": f"sqlite:///{tmp_path}/portico.db"}
    async with EngineDouble() as engine, portico(engine, stores=stores) as one, portico(engine, stores=stores) as two:
        engine.always = hang(after=3)
        begun = (await begin(one)).json["id"]
        await becomes(one, begun, "in_progress")
        reply = await (two if elsewhere else one).request("POST", f"{PATH}/{begun}/cancel")
        is_response(reply.json)
        assert (reply.status, reply.json["status"]) == (200, "cancelled")
        await eventually(engine.calls[0].left.is_set)
        again = await one.request("POST", f"{PATH}/{begun}/cancel")
        assert again.json["status"] == "cancelled"
        assert (await one.request("GET", f"{PATH}/{begun}")).json["status"] == "cancelled"
        assert not one.parts.gateway.trips


async def test_one_whose_engine_dies_has_failed() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = breaks(after=3)
        events = events_of(await begin(gate, stream=True))
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        response = await becomes(gate, events[-1]["response"]["id"], "failed")
        assert response["error"]["code"] == "server_error"


async def test_what_limits_and_policies_refuse_is_refused_at_once(tmp_path: Path) -> None:
    policy = tmp_path / "house.yaml"
    policy.write_text("name: h\nversion: 1\nrules: [{id: r, category: own, literals: [lantern], action: block}]\n")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        reply = await begin(gate, input="a lantern")
        assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "content_filter", "input")
        key = await Tenants(gate).limited(requests_per_minute=1)
        body = {"model": MODEL, "input": "Hello", "background": True}
        assert (await gate.request("POST", PATH, body, key)).status == 200
        assert (await gate.request("POST", PATH, body, key)).status == 429


async def test_a_store_that_is_down_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = hang(after=2)

        async def down(*_: object, **__: object) -> Any:
            raise StoreDown("the database cannot be reached")

        monkeypatch.setattr(gate.parts.durable, "open_response", down)
        reply = await begin(gate)
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        await eventually(lambda: not gate.parts.gateway.trips)


async def test_one_whose_process_died_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.state.runs.LEASE_S", 0.2)
    stores = {"durable": f"sqlite:///{tmp_path}/portico.db"}
    async with EngineDouble() as engine, portico(engine, stores=stores) as gate:
        engine.always = hang(after=4)
        begun = (await begin(gate, stream=False)).json["id"]
        await becomes(gate, begun, "in_progress")
        await asyncio.sleep(0.3)  # as if it were dead: its lease, of no more than 0.2 s, runs out
        monkeypatch.setattr("server.state.runs.RENEW_S", 0.1)
        async with portico(engine, stores=stores) as other:
            response = await becomes(other, begun, "failed")
            assert "has stopped" in response["error"]["message"]
            stream = events_of(await other.request("GET", f"{PATH}/{begun}?stream=true"))
            assert stream[-1]["type"] == "response.failed"
            assert [event["sequence_number"] for event in stream] == list(range(len(stream)))


async def test_one_that_runs_when_the_gateway_stops_has_failed(tmp_path: Path) -> None:
    stores = {"durable": f"sqlite:///{tmp_path}/portico.db"}
    async with EngineDouble() as engine:
        engine.always = hang(after=4)
        async with portico(engine, stores=stores) as gate:
            begun = (await begin(gate)).json["id"]
            await becomes(gate, begun, "in_progress")
        async with portico(engine, stores=stores) as gate:
            response = (await gate.request("GET", f"{PATH}/{begun}")).json
            assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
            assert "shutting down" in response["error"]["message"]


async def test_a_deleted_one_stops() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = hang(after=3)
        begun = (await begin(gate)).json["id"]
        await eventually(lambda: engine.calls)
        assert (await gate.request("DELETE", f"{PATH}/{begun}")).status == 200
        await eventually(engine.calls[0].left.is_set)
        assert (await gate.request("GET", f"{PATH}/{begun}")).status == 404
