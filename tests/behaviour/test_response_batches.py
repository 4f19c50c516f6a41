"""Responses as lines of batches."""

from __future__ import annotations

from typing import Any

import pytest

from server.stores.base import StoreDown
from tests.behaviour.batches import all_results, created, names, results, until
from tests.behaviour.engine_double import EngineDouble, Exchange, answer, error
from tests.behaviour.serving import MODEL, eventually, portico
from tests.behaviour.vllm import PROMPT_TOKENS, Reply
from tests.openai_schema import validator

PATH = "/v1/responses"


def line(name: str, **body: Any) -> dict[str, Any]:
    asked = {"model": MODEL, "input": f"Say {name}."} | body
    return {"custom_id": name, "method": "POST", "url": PATH, "body": asked}


async def test_from_upload_to_output() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.always = answer(Reply("Hello.", reasoning="They greet me."))
        batch = await created(client, [line(f"r{at}", store=at > 0) for at in range(6)], PATH)
        batch = await until(client, batch.id, "completed")
        assert batch.request_counts and (batch.request_counts.completed, batch.request_counts.failed) == (6, 0)
        assert batch.usage and batch.usage.input_tokens == 6 * PROMPT_TOKENS
        assert batch.usage.output_tokens_details.reasoning_tokens > 0
        found = {one["custom_id"]: one["response"] for one in await results(client, batch.output_file_id)}
        assert sorted(found) == [f"r{at}" for at in range(6)]
        for name, one in found.items():
            validator("Response")(one["body"])
            assert one["body"]["id"] == one["request_id"].replace("req_", "resp_")
            stored = await gate.request("GET", f"{PATH}/{one['body']['id']}")
            assert (stored.status, name) == (404 if name == "r0" else 200, name)
            assert stored.json == one["body"] or name == "r0"


async def test_lines_go_on_from_stored_responses() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        first = await client.responses.create(model=MODEL, input="What is it?")
        lines = [line(f"r{at}", previous_response_id=first.id) for at in range(3)]
        batch = await until(client, (await created(client, lines, PATH)).id, "completed")
        asked = engine.calls[-1].json["messages"]
        assert [one["role"] for one in asked] == ["user", "assistant", "user"]
        (one, *_) = await results(client, batch.output_file_id)
        again = await client.responses.create(
            model=MODEL, input="And?", previous_response_id=one["response"]["body"]["id"]
        )
        assert len(engine.calls[-1].json["messages"]) == 5
        assert again.status == "completed"


async def test_what_a_line_cannot_ask() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        lines: list[Any] = [
            line("a"), line("b", stream=True), line("c", background=True), line("d", conversation="conv_1"),
            line("e", previous_response_id="resp_none"), line("f", input=[{"type": "function_call_output"}]),
            line("g", max_tokens=3), line("h", model="none"),
        ]  # fmt: skip
        batch = await until(client, (await created(client, lines, PATH)).id, "failed")
        assert batch.errors and batch.errors.data and engine.calls == []
        assert [(one.line, one.code, one.param) for one in batch.errors.data] == [
            (2, "invalid_value", "body.stream"),
            (3, "invalid_value", "body.background"),
            (4, "invalid_value", "body.conversation"),
            (5, "not_found", "body.previous_response_id"),
            (6, "missing_required_parameter", "body.input[0].call_id"),
            (7, "unknown_parameter", "body.max_tokens"),
            (8, "model_not_found", "body.model"),
        ]


async def test_lines_that_fail_have_their_errors() -> None:
    async def script(exchange: Exchange) -> None:
        bad = "r1" in str(exchange.call.json["messages"])
        await (error(400, "messages[0] is bad") if bad else answer("Good."))(exchange)

    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.always = script
        batch = await until(client, (await created(client, [line(f"r{at}") for at in range(3)], PATH)).id, "completed")
        assert names(await all_results(client, batch)) == ["r0", "r1", "r2"]
        (failed,) = await results(client, batch.error_file_id)
        assert (failed["custom_id"], failed["response"]["status_code"]) == ("r1", 400)
        assert gate.metric("portico_batch_lines_total", outcome="failed") == 1


async def test_a_store_that_is_down_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not so long as the answers: what cannot be kept is lost from the store, and not from the output."""
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        first = await client.responses.create(model=MODEL, input="What is it?")
        durable, lookups = gate.parts.durable, 0
        plain = durable.history

        async def history(*asked: Any, **more: Any) -> Any:
            nonlocal lookups
            lookups += 1
            if lookups == 2:  # the first one is that of the validation
                raise StoreDown("the database cannot be reached")
            return await plain(*asked, **more)

        async def down(*_: object, **__: object) -> Any:
            raise StoreDown("the database cannot be reached")

        monkeypatch.setattr(durable, "history", history)
        monkeypatch.setattr(durable, "add_response", down)
        batch = await created(client, [line("a", previous_response_id=first.id)], PATH)
        batch = await until(client, batch.id, "completed")
        (found,) = await results(client, batch.output_file_id)
        assert found["response"]["status_code"] == 200
        assert lookups == 3
        await eventually(lambda: gate.metric("portico_responses_lost_total") == 1)
        assert (await gate.request("GET", f"{PATH}/{found['response']['body']['id']}")).status == 404
