"""Keys of the database: found, restricted, revoked, and good without the database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time

import pytest

from server.auth.secrets import new_secret, tag_key
from server.stores.base import StoreDown
from server.stores.records import KeyRecord, ProjectRecord
from server.stores.sql.opening import open_durable
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, Gate, eventually, portico
from tests.behaviour.tenants import ACTOR, Tenants
from tests.behaviour.wire import Reply, Wire

BODY = {"model": MODEL, "messages": MESSAGES}


async def ask(gate: Gate, secret: str, path: str = CHAT, body: object = BODY) -> Reply:
    return await gate.request("POST", path, body, secret)


async def test_a_key_opens_and_is_named_in_the_log() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret, record = await Tenants(gate).key()
        assert [(await ask(gate, secret)).status for _ in range(3)] == [200, 200, 200]
        assert (await gate.request("GET", "/v1/models", key=secret)).status == 200
        assert {line["key"] for line in gate.log_lines() if line["endpoint"] == "chat.completions"} == {"k"}
        assert secret not in gate.log_text()
        assert record.digest not in gate.log_text()


async def test_many_at_once_ask_the_database_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret, _ = await Tenants(gate).key()
        asked: list[str] = []
        find = gate.parts.durable.find_key

        async def counting(lookup: str) -> tuple[KeyRecord, ProjectRecord] | None:
            asked.append(lookup)
            return await find(lookup)

        monkeypatch.setattr(gate.parts.durable, "find_key", counting)
        replies = await asyncio.gather(*(ask(gate, secret) for _ in range(20)))
        assert {reply.status for reply in replies} == {200}
        assert len(asked) == 1


async def test_a_flood_of_wrong_keys_never_reaches_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        asked: list[str] = []

        async def counting(lookup: str) -> None:
            asked.append(lookup)

        monkeypatch.setattr(gate.parts.durable, "find_key", counting)
        async with Wire(gate.port) as wire:
            for number in range(300):
                wrong = new_secret("key", tag_key(b"%032d" % number)).secret  # well-formed, and not made here
                await wire.request("POST", CHAT, BODY, wrong)
                reply = await wire.reply()
                assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
        assert asked == []


async def test_a_key_that_was_made_here_and_is_not_there_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        asked: list[str] = []

        async def counting(lookup: str) -> None:
            asked.append(lookup)

        monkeypatch.setattr(gate.parts.durable, "find_key", counting)
        await eventually(lambda: gate.parts.directory._cache.epoch > 0)  # else it begins to watch in between
        deleted = new_secret("key", tag_key(gate.server_secret)).secret
        assert [(await ask(gate, deleted)).status for _ in range(3)] == [401, 401, 401]
        assert len(asked) == 1


async def test_the_body_may_come_while_the_key_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret, _ = await Tenants(gate).key()
        find, go = gate.parts.durable.find_key, asyncio.Event()

        async def slow(lookup: str) -> tuple[KeyRecord, ProjectRecord] | None:
            await go.wait()
            return await find(lookup)

        monkeypatch.setattr(gate.parts.durable, "find_key", slow)
        async with Wire(gate.port) as wire, Wire(gate.port) as leaving:
            await wire.request("POST", CHAT, BODY, secret)
            await leaving.request("POST", CHAT, BODY, secret)
            await asyncio.sleep(0.05)
            leaving.leave()
            go.set()
            assert (await wire.reply()).status == 200
        assert len(engine.calls) == 1, "who left while his key was looked up is forgotten"


async def test_restrictions() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        tenants = Tenants(gate)
        none, _ = await tenants.key(models=())
        chats, _ = await tenants.key(models=(MODEL,), endpoints=("chat.completions",))
        reply = await ask(gate, none)
        assert (reply.status, reply.error["code"], reply.error["param"]) == (403, "permission_denied", "model")
        assert (await gate.request("GET", "/v1/models", key=none)).json["data"] == []
        assert (await gate.request("GET", f"/v1/models/{MODEL}", key=none)).status == 403
        assert (await ask(gate, chats)).status == 200
        reply = await ask(gate, chats, "/v1/completions", {"model": MODEL, "prompt": "Once"})
        assert (reply.status, reply.error["code"]) == (403, "permission_denied")
        assert "chat.completions" in reply.error["message"]


async def test_reasoning_by_key() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        hidden, _ = await Tenants(gate).key(reasoning="hidden")
        shown, _ = await Tenants(gate).key(reasoning="shown")
        messages = {}
        for name, secret in (("hidden", hidden), ("shown", shown)):
            messages[name] = (await ask(gate, secret)).json["choices"][0]["message"]
        assert messages["shown"]["reasoning"]
        assert "reasoning" not in messages["hidden"]


async def test_expired() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret, _ = await Tenants(gate).key(expires_at=int(time()) - 1)
        reply = await ask(gate, secret)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
        assert "expired" in reply.error["message"]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_revoked_at_once(elsewhere: bool, tmp_path: Path) -> None:
    """By this process, or by another one such as the command line."""
    async with EngineDouble() as engine, portico(engine) as gate:
        secret, record = await Tenants(gate).key()
        assert (await ask(gate, secret)).status == 200
        store = gate.parts.durable
        if elsewhere:
            store = await open_durable(gate.database_url, tmp_path)
        await store.revoke_key(None, record.id, ACTOR)
        if elsewhere:
            await store.close()
            status = 200
            for _ in range(100):  # the other process's changes are asked for twice a second
                status = (await ask(gate, secret)).status
                if status == 401:
                    break
                await asyncio.sleep(0.05)
            assert status == 401
        else:
            assert (await ask(gate, secret)).status == 401


async def test_an_archived_project_has_no_keys() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        tenants = Tenants(gate)
        project = await tenants.project()
        secret, _ = await tenants.key(project)
        assert (await ask(gate, secret)).status == 200
        await tenants.store.archive_project(project.id, ACTOR)
        assert (await ask(gate, secret)).status == 401


async def test_known_keys_work_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        tenants = Tenants(gate)
        known, _ = await tenants.key()
        unknown, _ = await tenants.key()
        assert (await ask(gate, known)).status == 200
        find = gate.parts.durable.find_key

        async def down(lookup: str) -> None:
            raise StoreDown("gone")

        monkeypatch.setattr(gate.parts.durable, "find_key", down)
        gate.parts.directory.changed()  # all is due
        assert [(await ask(gate, known)).status for _ in range(3)] == [200, 200, 200]
        reply = await ask(gate, unknown)
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        assert "retry-after" in reply.headers
        monkeypatch.setattr(gate.parts.durable, "find_key", find)
        await asyncio.sleep(1.1)  # it is left alone for a second
        assert (await ask(gate, unknown)).status == 200


async def test_admin_keys_do_not_open_the_relay() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        admin = new_secret("admin", tag_key(gate.server_secret)).secret
        reply = await ask(gate, admin)
        assert (reply.status, reply.error["code"]) == (403, "permission_denied")
        assert "/v1/organization" in reply.error["message"]


async def test_use_is_noted_when_the_worker_ends(tmp_path: Path) -> None:
    async with EngineDouble() as engine:
        async with portico(engine, stores={"durable": f"sqlite:///{tmp_path}/kept.db"}) as gate:
            secret, record = await Tenants(gate).key()
            assert record.last_used_at is None
            before = int(time())
            assert (await ask(gate, secret)).status == 200
            url = gate.database_url
        store = await open_durable(url, tmp_path)
        found = await store.key(None, record.id)
        await store.close()
        assert found.last_used_at is not None
        assert found.last_used_at >= before


async def test_changes_are_watched_for(tmp_path: Path) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        secret, record = await Tenants(gate).key()
        assert (await ask(gate, secret)).status == 200
        heard: list[None] = []
        watching = asyncio.create_task(gate.parts.durable.watch(lambda: heard.append(None)))
        await asyncio.sleep(0)
        await gate.parts.durable.revoke_key(None, record.id, ACTOR)
        await eventually(lambda: heard)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
