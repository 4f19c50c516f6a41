"""Batches of the whole app: through OpenAI's SDK, over the engine double."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace

from tests.behaviour.batches import (
    all_results,
    chat_line,
    created,
    jsonl,
    names,
    results,
    until,
    uploaded,
)
from tests.behaviour.engine_double import EngineDouble, Exchange, answer, breaks, error, hang
from tests.behaviour.serving import CHAT, COMPLETIONS, MODEL, eventually, portico
from tests.behaviour.tenant_processes import becomes
from tests.behaviour.tenants import ACTOR, Tenants
from tests.behaviour.vllm import PROMPT_TOKENS
from tests.openai_schema import validator

QUICK = {"shutdown_grace_s": 0.2}  # for lines that hang when the test is over


def lines_of(number: int) -> list[dict[str, Any]]:
    return [chat_line(f"r{at}") for at in range(number)]


def counts(batch: openai.types.Batch) -> tuple[int, int, int]:
    assert batch.request_counts
    return batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed


async def test_from_upload_to_output() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        batch = await created(client, lines_of(30), metadata={"job": "nightly"})
        assert (batch.status, batch.endpoint) == ("validating", CHAT)
        batch = await until(client, batch.id, "completed")
        assert counts(batch) == (30, 30, 0)
        assert (batch.error_file_id, batch.metadata, batch.model) == (None, {"job": "nightly"}, MODEL)
        assert batch.usage and batch.usage.input_tokens == 30 * PROMPT_TOKENS
        found = await results(client, batch.output_file_id)
        assert names(found) == sorted(f"r{number}" for number in range(30))
        assert len({one["id"] for one in found}) == 30 == len(engine.calls)
        for one in found:
            assert set(one) == {"id", "custom_id", "response", "error"} and one["error"] is None
            assert one["response"]["status_code"] == 200 and one["response"]["request_id"].startswith("req_")
            validator("CreateChatCompletionResponse")(one["response"]["body"])
        assert [one.purpose for one in (await client.files.list()).data] == ["batch_output", "batch"]
        reply = await gate.request("GET", f"/v1/batches/{batch.id}")
        validator("Batch")(reply.json)
        validator("ListBatchesResponse")((await gate.request("GET", "/v1/batches")).json)
        assert [one.id async for one in client.batches.list()] == [batch.id]
        assert gate.metric("portico_batch_lines_total", outcome="completed") == 30
        await eventually(lambda: gate.metric("portico_batches_running") == 0)


async def test_lines_go_in_the_class_of_batches_and_count_as_their_owners() -> None:
    async with EngineDouble() as engine, portico(engine, engine={"vllm": True}) as gate:
        secret, record = await Tenants(gate).key(priority="interactive")
        async with gate.sdk(api_key=secret) as client:
            batch = await until(client, (await created(client, lines_of(3))).id, "completed")
            assert {call.json["priority"] for call in engine.calls} == {2}
            assert len({call.json["cache_salt"] for call in engine.calls}) == 1
            lines = [line for line in gate.log_lines() if line["endpoint"] == "chat.completions"]
            assert {line["client_id"] for line in lines} == {f"{batch.id}:{number}" for number in (1, 2, 3)}
            assert {line["key"] for line in lines} == {record.name}


async def test_completions_and_tools() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        line = {"custom_id": "a", "method": "POST", "url": COMPLETIONS, "body": {"model": MODEL, "prompt": "Once"}}
        batch = await until(client, (await created(client, [line], COMPLETIONS)).id, "completed")
        (found,) = await results(client, batch.output_file_id)
        assert found["response"]["body"]["object"] == "text_completion"
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        batch = await until(client, (await created(client, [chat_line("b", tools=[tool])])).id, "completed")
        assert engine.calls[-1].json["stream"], "asked for as a stream, answered as one"
        (found,) = await results(client, batch.output_file_id)
        assert found["response"]["body"]["object"] == "chat.completion"


async def test_what_is_wrong_with_an_input_names_its_lines() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        lines: list[Any] = [
            chat_line("a"), b"{oops\n", chat_line("a"), chat_line("c", model="none"), chat_line("d", messages=[]),
            chat_line("e") | {"url": COMPLETIONS}, chat_line("f", stream=True), chat_line("g", temperature=9),
        ]  # fmt: skip
        batch = await until(client, (await created(client, lines)).id, "failed")
        assert batch.errors and batch.errors.data and batch.failed_at
        found = [(one.line, one.code, one.param) for one in batch.errors.data]
        assert found == [
            (2, "invalid_json", None),
            (3, "duplicate_custom_id", "custom_id"),
            (4, "model_not_found", "body.model"),
            (5, "invalid_value", "body.messages"),
            (6, "invalid_value", "url"),
            (7, "invalid_value", "body.stream"),
            (8, "invalid_value", "body.temperature"),
        ]
        assert (batch.output_file_id, batch.error_file_id, engine.calls) == (None, None, [])
        validator("Batch")((await gate.request("GET", f"/v1/batches/{batch.id}")).json)
        empty = await until(client, (await created(client, [b"\n \n"])).id, "failed")
        assert empty.errors and empty.errors.data and [one.code for one in empty.errors.data] == ["empty_file"]


async def test_bounds_of_an_input() -> None:
    bounds = {"batches": {"max_lines": 3, "max_open": 1}, "server": {"max_body_bytes": 2000, **QUICK}}
    async with EngineDouble() as engine, portico(engine, **bounds) as gate, gate.sdk() as client:
        for lines, code in ((lines_of(4), "too_many_lines"), ([chat_line("a", user="x" * 3000)], "line_too_long")):
            batch = await until(client, (await created(client, lines)).id, "failed")
            assert batch.errors and batch.errors.data and batch.errors.data[0].code == code
        engine.always = hang()
        first = await created(client, lines_of(1))
        with pytest.raises(openai.BadRequestError, match="1 batches that have not ended"):
            await created(client, lines_of(1))
        await client.batches.cancel(first.id)
        await until(client, first.id, "cancelled")
        await created(client, lines_of(1))


async def test_requests_that_make_no_batch() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        good = await uploaded(client, lines_of(1))
        other = await uploaded(client, lines_of(1), purpose="user_data")
        asked = {"input_file_id": good, "endpoint": CHAT, "completion_window": "24h"}
        for change, status, param in (
            ({"input_file_id": "file-none"}, 404, "input_file_id"),
            ({"input_file_id": other}, 400, "input_file_id"),
            ({"endpoint": "/v1/images/edits"}, 400, "endpoint"),
            ({"completion_window": "1h"}, 400, "completion_window"),
            ({"metadata": {"a": 1}}, 400, "metadata[...]"),
            ({"metadata": {str(number): "" for number in range(17)}}, 400, "metadata"),
            ({"priority": 1}, 400, "priority"),
            ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, 400, "output_expires_after.seconds"),
        ):
            reply = await gate.request("POST", "/v1/batches", asked | change)
            assert (reply.status, reply.error["param"]) == (status, param), change
        assert (await gate.request("POST", "/v1/batches", b"{")).error["code"] == "invalid_json"
        assert (await gate.request("POST", "/v1/batches", asked, key=None)).status == 401
        secret, _ = await Tenants(gate).key(endpoints=("files", "batches"))
        assert (await gate.request("POST", "/v1/batches", asked, key=secret)).status == 403, "nor its lines"
        assert [one.id async for one in client.batches.list()] == []


async def test_another_project_does_not_see_them() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        batch = await until(client, (await created(client, lines_of(1))).id, "completed")
        secret, _ = await Tenants(gate).key()
        asked = {"input_file_id": batch.input_file_id, "endpoint": CHAT, "completion_window": "24h"}
        for method, path, body in (
            ("GET", f"/v1/batches/{batch.id}", None),
            ("POST", f"/v1/batches/{batch.id}/cancel", None),
            ("GET", f"/v1/files/{batch.output_file_id}/content", None),
            ("POST", "/v1/batches", asked),
        ):
            assert (await gate.request(method, path, body, key=secret)).status == 404, path
        assert (await gate.request("GET", "/v1/batches", key=secret)).json["data"] == []


async def test_a_line_that_fails_is_in_the_error_file_and_the_others_go_on() -> None:
    async def script(exchange: Exchange) -> None:
        bad = "r3" in exchange.call.json["messages"][0]["content"]
        await (error(400, "too long for me") if bad else answer("Good."))(exchange)

    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.always = script
        batch = await until(client, (await created(client, lines_of(6))).id, "completed")
        assert counts(batch) == (6, 5, 1)
        (failed,) = await results(client, batch.error_file_id)
        assert (failed["custom_id"], failed["error"]) == ("r3", None)
        assert failed["response"]["status_code"] == 400 and failed["response"]["body"]["error"]["message"]
        assert names(await results(client, batch.output_file_id)) == ["r0", "r1", "r2", "r4", "r5"]


async def test_an_engine_that_breaks_is_tried_again() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.plan(error(500, "boom"), breaks(after=2))
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        batch = await until(client, (await created(client, [chat_line("a", tools=[tool])])).id, "completed")
        assert counts(batch) == (1, 1, 0)
        assert gate.metric("portico_batch_lines_total", outcome="retried") >= 1


async def test_an_engine_that_is_down_is_waited_for() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        await engine.stop()
        batch = await created(client, lines_of(3))
        await eventually(lambda: gate.metric("portico_batch_lines_total", outcome="retried") >= 1)
        assert counts(await client.batches.retrieve(batch.id))[2] == 0
        await engine.start()
        batch = await until(client, batch.id, "completed")
        assert counts(batch) == (3, 3, 0)


async def test_limits_of_the_owner_are_waited_for() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(concurrent_requests=2)
        open_now, most = 0, 0

        async def script(exchange: Exchange) -> None:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await answer("Good.", delay_s=0.01)(exchange)
            open_now -= 1

        engine.always = script
        async with gate.sdk(api_key=secret) as client:
            batch = await until(client, (await created(client, lines_of(20))).id, "completed")
            assert counts(batch) == (20, 20, 0)
            assert most <= 2


async def test_a_line_that_no_limit_would_ever_let_through_fails() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret = await Tenants(gate).limited(tokens_per_minute=50)
        async with gate.sdk(api_key=secret) as client:
            big = chat_line("a", messages=[{"role": "user", "content": "word " * 500}])
            batch = await until(client, (await created(client, [big])).id, "completed")
            (failed,) = await results(client, batch.error_file_id)
            assert failed["response"]["status_code"] == 429


async def test_policies_look_at_lines(tmp_path: Path) -> None:
    policy = tmp_path / "house.yaml"
    rule = {"id": "codename", "category": "own", "literals": ["project lantern"], "action": "block"}
    policy.write_text(json.dumps({"name": "house", "version": 1, "rules": [rule]}))

    async with (
        EngineDouble() as engine,
        portico(engine, moderation={"policy": str(policy)}) as gate,
        gate.sdk() as client,
    ):
        engine.plan(answer("All about project lantern."))
        first = await until(client, (await created(client, [chat_line("out")])).id, "completed")
        asks = chat_line("in", messages=[{"role": "user", "content": "project lantern?"}])
        second = await until(client, (await created(client, [asks, chat_line("good")])).id, "completed")
        text = json.dumps(await all_results(client, first))
        assert "lantern" not in text
        (refused,) = await results(client, second.error_file_id)
        assert refused["custom_id"] == "in" and refused["response"]["body"]["error"]["code"] == "content_filter"
        assert names(await results(client, second.output_file_id)) == ["good"]


async def test_cancelled_in_the_middle() -> None:
    async with EngineDouble() as engine, portico(engine, batches={"max_in_flight": 4}) as gate, gate.sdk() as client:
        engine.plan(*[answer("Good.")] * 5)
        engine.always = hang()
        batch = await created(client, lines_of(50))
        await eventually(lambda: len(engine.calls) == 5 + 4)
        cancelled = await client.batches.cancel(batch.id)
        assert cancelled.status == "cancelling" and cancelled.cancelling_at
        batch = await until(client, batch.id, "cancelled")
        assert counts(batch) == (50, 5, 0)
        assert len(await all_results(client, batch)) == 5 and batch.error_file_id is None
        assert all(call.left.is_set() or call.finished for call in engine.calls), "lines in flight were broken off"
        assert len(engine.calls) == 9
        with pytest.raises(openai.BadRequestError, match="cannot be cancelled"):
            await client.batches.cancel(batch.id)


async def test_its_time_is_over() -> None:
    settings = {"batches": {"max_in_flight": 4}, "server": QUICK}
    async with EngineDouble() as engine, portico(engine, **settings) as gate, gate.sdk() as client:
        engine.plan(*[answer("Good.")] * 5)
        engine.always = hang()
        batch = await created(client, lines_of(50))
        await eventually(lambda: len(engine.calls) == 5 + 4)
        await gate.parts.durable.change_batch("default", batch.id, lambda record: replace(record, expires_at=1))
        batch = await until(client, batch.id, "expired")
        assert counts(batch) == (50, 5, 45) and batch.expired_at
        late = await results(client, batch.error_file_id)
        assert {one["error"]["code"] for one in late} == {"batch_expired"} and late[0]["response"] is None
        assert names(await all_results(client, batch)) == sorted(f"r{number}" for number in range(50))


@pytest.mark.parametrize("how", ["revoked", "expired", "archived"])
async def test_a_key_that_may_do_no_more_ends_its_batches(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine, batches={"max_in_flight": 2}) as gate:
        tenants = Tenants(gate)
        secret, record = await tenants.key()
        other, _ = await tenants.key(await tenants.store.project(record.project_id))
        engine.plan(*[answer("Good.")] * 3)
        engine.always = hang()
        async with gate.sdk(api_key=secret) as client, gate.sdk(api_key=other) as watcher:
            batch = await created(client, lines_of(20))
            await eventually(lambda: len(engine.calls) == 3 + 2)
            if how == "revoked":
                await tenants.store.revoke_key(record.project_id, record.id, ACTOR)
            elif how == "expired":
                await tenants.store.change_key(record.id, lambda key: replace(key, expires_at=1), ACTOR)
            else:
                await tenants.store.archive_project(record.project_id, ACTOR)
                await eventually(lambda: all(call.left.is_set() for call in engine.calls[3:]), 15)

                async def status() -> str:
                    return (await tenants.store.batch(record.project_id, batch.id)).status

                await becomes(status, "failed")
                return
            batch = await until(watcher, batch.id, "failed")
            assert batch.errors and batch.errors.data
            assert [one.code for one in batch.errors.data] == ["invalid_api_key"]
            assert counts(batch) == (20, 3, 0) and len(await all_results(watcher, batch)) == 3


async def test_an_input_that_is_deleted() -> None:
    async with EngineDouble() as engine, portico(engine, batches={"running": 0}) as gate, gate.sdk() as client:
        batch = await created(client, lines_of(3))
        await client.files.delete(batch.input_file_id)
        again = portico(engine, stores={"durable": gate.database_url}, server={"port": 0})
        async with again as other, other.sdk() as watcher:
            batch = await until(watcher, batch.id, "failed")
            assert batch.errors and batch.errors.data
            assert [one.code for one in batch.errors.data] == ["input_file_not_found"]


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    kept: dict[str, Any] = {
        "stores": {"durable": f"sqlite:///{tmp_path}/portico.db"},
        "files": {"folder": str(tmp_path / "files")},
        "batches": {"max_in_flight": 4},
        "server": QUICK,
    }
    async with EngineDouble() as engine:
        engine.plan(*[answer("Good.")] * 7)
        engine.always = hang()
        async with portico(engine, **kept) as gate, gate.sdk() as client:
            batch = await created(client, lines_of(30))
            await eventually(lambda: len(engine.calls) == 7 + 4)
        engine.always = answer("Better.")
        async with portico(engine, **kept) as gate, gate.sdk() as client:
            batch = await until(client, batch.id, "completed")
            found = await all_results(client, batch)
            assert names(found) == sorted(f"r{number}" for number in range(30))
            said = [one["response"]["body"]["choices"][0]["message"]["content"] for one in found]
            assert (said.count("Good."), said.count("Better.")) == (7, 23)
            assert counts(batch) == (30, 30, 0)
            assert batch.usage and batch.usage.input_tokens == 30 * PROMPT_TOKENS
        assert len(engine.calls) == 7 + 4 + 23
        left = [place.name for place in (tmp_path / "files/scratch").iterdir()]
        assert left == []


async def test_people_find_room_beside_a_batch() -> None:
    """Lines wait where an engine is as busy as they may make it; who comes then has a place at once."""
    settings = {"engine": {"max_in_flight": 8}, "batches": {"share": 0.5}, "server": QUICK}
    async with EngineDouble() as engine, portico(engine, **settings) as gate, gate.sdk() as client:
        engine.always = hang()
        await created(client, lines_of(50))
        await eventually(lambda: len(engine.calls) == 4)
        engine.plan(*[answer("Hi.")] * 20)
        for _ in range(20):
            assert (await gate.chat()).status == 200
        assert gate.metric("portico_queue_wait_seconds_count", **{"class": "standard"}) == 0
        assert len(engine.calls) == 4 + 20


async def test_several_batches_share() -> None:
    settings = {"engine": {"max_in_flight": 8}, "batches": {"share": 0.5}, "server": QUICK}
    async with EngineDouble() as engine, portico(engine, **settings) as gate, gate.sdk() as client:
        engine.always = answer("Good.", delay_s=0.005)
        batches = [await created(client, lines_of(25)) for _ in range(5)]
        ended = [await until(client, batch.id, "completed") for batch in batches]
        assert [counts(batch) for batch in ended] == [(25, 25, 0)] * 5
        assert len(engine.calls) == 125


async def test_no_text_of_lines_is_logged() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.always = answer("a-secret-answer")
        lines: list[Any] = [chat_line("a-secret-id", messages=[{"role": "user", "content": "a-secret-prompt"}])]
        await until(client, (await created(client, lines)).id, "completed")
        await until(client, (await created(client, [b"a-secret-line\n", *lines])).id, "failed")
        await gate.request("POST", "/v1/batches", jsonl([{"a-secret-field": 1}]))
        assert "secret" not in gate.log_text() + gate.exposition()
