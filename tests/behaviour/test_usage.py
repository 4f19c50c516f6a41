"""Every call becomes one record in the database, however it ends; the administration adds them up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time

from openai import AsyncOpenAI

from server.auth.issue import issue_admin_key
from server.auth.secrets import tag_key
from server.stores.records import UsageTotal
from tests.behaviour.engine_double import EngineDouble, error, hang
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, Gate, eventually, portico
from tests.behaviour.tenants import ACTOR, Tenants

BODY = {"model": MODEL, "messages": MESSAGES}
PRICE = {"price": {"input": 1, "output": 10}}


async def totals(gate: Gate) -> list[UsageTotal]:
    now = int(time())
    return await gate.parts.durable.usage(
        since=now - 3600, until=now + 60, bucket_s=7200, group_by=("project_id", "key_id", "model")
    )


async def recorded(gate: Gate, calls: int) -> list[UsageTotal]:
    """Waits until so many calls are in the database."""
    found: list[UsageTotal] = []
    for _ in range(200):
        found = await totals(gate)
        if sum(one.requests for one in found) >= calls:
            break
        await asyncio.sleep(0.05)
    assert sum(one.requests for one in found) == calls
    return found


async def test_one_record_for_each_call() -> None:
    async with EngineDouble() as engine, portico(engine, model=PRICE) as gate:
        secret, record = await Tenants(gate).key()
        usage = (await gate.request("POST", CHAT, BODY, secret)).json["usage"]
        engine.plan(error(500))
        await gate.request("POST", CHAT, BODY, secret)
        (total,) = await recorded(gate, 2)
        assert (total.project_id, total.key_id, total.model) == (record.project_id, record.id, MODEL)
        assert total.completion == usage["completion_tokens"]
        assert total.prompt >= usage["prompt_tokens"]
        assert total.cost == total.prompt + 10 * total.completion


async def test_a_client_that_leaves_pays_for_what_came() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret, _ = await Tenants(gate).key()
        engine.plan(hang(after=4))
        async with gate.opened(stream=True, key=secret) as wire:
            await wire.head()
            await eventually(lambda: any(trip._call.streamed for trip in gate.parts.gateway.trips))
        (total,) = await recorded(gate, 1)
        assert total.completion > 0
        assert total.prompt > 0


async def test_nothing_is_left_when_the_worker_ends(tmp_path: Path) -> None:
    stores = {"durable": f"sqlite:///{tmp_path}/kept.db", "spool": f"{tmp_path}/spool"}
    async with EngineDouble() as engine:
        async with portico(engine, stores=stores) as gate:
            for _ in range(5):
                assert (await gate.chat()).status == 200
        async with portico(engine, stores=stores) as gate:
            (total,) = await recorded(gate, 5)
            assert total.key_id == "static:tester"


async def test_openai_sdk_reads_usage_and_costs() -> None:
    async with EngineDouble() as engine, portico(engine, model=PRICE) as gate:
        tenants = Tenants(gate)
        secret, record = await tenants.key()
        for _ in range(3):
            await gate.request("POST", CHAT, BODY, secret)
        (total,) = await recorded(gate, 3)
        admin, admin_secret = issue_admin_key(tag_key(gate.server_secret), int(time()), "ops")
        await tenants.store.create_admin_key(admin, ACTOR)
        async with AsyncOpenAI(
            base_url=gate.url, api_key="unused", admin_api_key=admin_secret, max_retries=0
        ) as client:
            organization = client.admin.organization
            page = await organization.usage.completions(
                start_time=int(time()) - 3600, group_by=["project_id"], project_ids=[record.project_id]
            )
            found = [result for bucket in page.data for result in bucket.results]
            assert sum(one.num_model_requests for one in found) == 3  # type: ignore[union-attr]
            assert sum(one.output_tokens for one in found) == total.completion  # type: ignore[union-attr]
            costs = await organization.usage.costs(start_time=int(time()) - 86_400)
            spent = sum(result.amount.value for bucket in costs.data for result in bucket.results)  # type: ignore[union-attr, misc]
            assert round(spent * 1e6) == total.cost
        assert (await gate.request("GET", "/v1/organization/projects", key=secret)).status == 403
        assert (await gate.request("GET", "/v1/organization/projects", key="sk-wrong")).status == 401
        assert {line["endpoint"] for line in gate.log_lines() if line["endpoint"] != "chat.completions"} == {
            "organization"
        }


async def test_the_gauge_of_what_waits() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        await gate.chat()
        await recorded(gate, 1)
        await eventually(lambda: gate.metric("portico_usage_spool_records") == 0)
        assert gate.metric("portico_usage_lost_records_total") == 0
