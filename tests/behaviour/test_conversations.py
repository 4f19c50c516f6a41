"""/v1/conversations: OpenAI's shape, each project's own, kept in the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from server.responses.stored_conversation import MOST_AT_ONCE
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import KEY, MODEL, Gate, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.wire import Reply
from tests.openai_schema import validator

PATH = "/v1/conversations"
SECRET = "the lantern is green"
SEALING_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def said(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


async def make(gate: Gate, *texts: str, key: str = KEY, **body: Any) -> str:
    reply = await gate.request("POST", PATH, {"items": [said(text) for text in texts], **body}, key)
    assert reply.status == 200, reply.json
    validator("ConversationResource")(reply.json)
    return reply.json["id"]


async def listed(gate: Gate, conversation: str, query: str = "", key: str = KEY) -> dict[str, Any]:
    reply = await gate.request("GET", f"{PATH}/{conversation}/items{query}", key=key)
    assert reply.status == 200, reply.json
    validator("ConversationItemList")(reply.json)
    return reply.json


def texts(page: dict[str, Any]) -> list[str]:
    return [one["content"][0]["text"] for one in page["data"]]


def refused(reply: Reply, status: int, param: str | None, *words: str) -> None:
    assert reply.status == status, reply.json
    validator("ErrorResponse")(reply.json)
    error = reply.json["error"]
    assert error["param"] == param, error
    assert all(word in error["message"] for word in words), error
    assert SECRET not in error["message"]


async def test_the_official_sdk() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        made = await client.conversations.create(metadata={"topic": "demo"}, items=[{"role": "user", "content": "Hi!"}])
        assert made.id.startswith("conv_") and made.metadata == {"topic": "demo"}
        assert await client.conversations.retrieve(made.id) == made
        changed = await client.conversations.update(made.id, metadata={"topic": "two"})
        assert (changed.id, changed.created_at, changed.metadata) == (made.id, made.created_at, {"topic": "two"})
        added = await client.conversations.items.create(
            made.id,
            items=[
                {"type": "message", "role": "assistant", "content": "Hello."},
                {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "noon"},
                {"type": "reasoning", "id": "rs_mine", "summary": []},
            ],
            include=["reasoning.encrypted_content"],
        )
        kinds = ["message", "function_call", "function_call_output", "reasoning"]
        assert [one.type for one in added.data] == kinds and not added.has_more
        pages = [one.type async for one in client.conversations.items.list(made.id, limit=2, order="asc")]
        assert pages == ["message", *kinds], "the SDK asks for page after page"
        newest = await client.conversations.items.list(made.id)
        assert [one.id for one in newest.data][:4] == [one.id for one in added.data][::-1]
        assert await client.conversations.items.retrieve("rs_mine", conversation_id=made.id) == added.data[3]
        left = await client.conversations.items.delete("rs_mine", conversation_id=made.id)
        assert left == changed
        with pytest.raises(openai.NotFoundError, match="no item"):
            await client.conversations.items.retrieve("rs_mine", conversation_id=made.id)
        gone = await client.conversations.delete(made.id)
        assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
        with pytest.raises(openai.NotFoundError, match="no conversation"):
            await client.conversations.retrieve(made.id)


async def test_answers_are_of_openais_shape() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        made = await make(gate, "one", "two", metadata={"a": "b"})
        added = await gate.request("POST", f"{PATH}/{made}/items", {"items": [said("three", "developer")]})
        validator("ConversationItemList")(added.json)
        page = await listed(gate, made, "?limit=2&order=asc")
        assert texts(page) == ["one", "two"] and page["has_more"]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][1]["id"])
        rest = await listed(gate, made, f"?order=asc&after={page['last_id']}&include[]=message.output_text.logprobs")
        assert texts(rest) == ["three"] and not rest["has_more"]
        item = await gate.request("GET", f"{PATH}/{made}/items/{page['last_id']}")
        validator("ConversationItem")(item.json)
        assert item.json == page["data"][1]
        empty = await make(gate)
        assert (await listed(gate, empty))["data"] == []
        changed = await gate.request("POST", f"{PATH}/{empty}", {"metadata": None})
        assert changed.json["metadata"] == {}
        gone = await gate.request("DELETE", f"{PATH}/{empty}")
        validator("DeletedConversationResource")(gone.json)


async def test_a_project_has_its_own() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        tenants = Tenants(gate)
        project = await tenants.project()
        one, _ = await tenants.key(project)
        colleague, _ = await tenants.key(project)
        stranger, _ = await tenants.key()
        made = await make(gate, "ours", key=one)
        item = (await listed(gate, made, key=colleague))["data"][0]["id"]
        for method, path, body in (
            ("GET", made, None),
            ("POST", made, {"metadata": {}}),
            ("DELETE", made, None),
            ("GET", f"{made}/items", None),
            ("POST", f"{made}/items", {"items": [said("mine")]}),
            ("GET", f"{made}/items/{item}", None),
            ("DELETE", f"{made}/items/{item}", None),
        ):
            refused(await gate.request(method, f"{PATH}/{path}", body, stranger), 404, "conversation_id")
            assert (await gate.request(method, f"{PATH}/{path}", body, "sk-wrong")).status == 401
        assert texts(await listed(gate, made, key=one)) == ["ours"]


LONG = "x" * 513


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"items": [said(SECRET)] * (MOST_AT_ONCE + 1)}, "items", ("at most 20",)),
        ({"items": SECRET}, "items", ("expected array",)),
        ({"items": [{"role": "user"}]}, "items[0].content", ("Missing",)),
        ({"items": [said("a"), {"role": SECRET, "content": "b"}]}, "items[1].role", ("Supported values",)),
        ({"items": [{"type": "file_search_call", "id": "fs_1"}]}, "items[0].type", ("leave them out",)),
        ({"items": [{"type": "item_reference", "id": "msg_1"}]}, "items[0]", ("whole one",)),
        ({"items": [said("a") | {"id": "a b"}]}, "items[0].id", ("ASCII",)),
        ({"items": [said("a") | {"id": "a"}, said("b") | {"id": "a"}]}, "items", ("already",)),
        ({"metadata": {f"k{number}": "v" for number in range(17)}}, "metadata", ("at most 16",)),
        ({"metadata": {"k": LONG}}, "metadata[...]", ("at most 512",)),
        ({"metadata": {"k" * 65: "v"}}, "metadata", ("at most 64",)),
        ({"title": SECRET}, "title", ("Unknown parameter",)),
        (b"{", None, ("not valid JSON",)),
    ],
)
async def test_what_is_refused(body: Any, param: str | None, words: tuple[str, ...]) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        refused(await gate.request("POST", PATH, body), 400, param, *words)


async def test_queries_and_ids_that_are_refused() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        made = await make(gate, "one")
        for query, param in (
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=many", "limit"),
            ("order=up", "order"),
            ("after=msg_none", "after"),
            ("after=%00", "after"),
            ("before=msg_1", "before"),
        ):
            refused(await gate.request("GET", f"{PATH}/{made}/items?{query}"), 400, param)
        for path in ("conv_none", "conv%00", "conv_%E7%81%AF", f"{made}%20"):
            refused(await gate.request("GET", f"{PATH}/{path}"), 404, "conversation_id")
        refused(await gate.request("GET", f"{PATH}/{made}/items/msg%00"), 404, "item_id")


async def test_bodies_have_bounds() -> None:
    async with EngineDouble() as engine, portico(engine, server={"max_body_bytes": 2048}) as gate:
        refused(await gate.request("POST", PATH, {"items": [said("x" * 2048)]}), 413, None)
        deep = b'{"items": [' + b"[" * 70 + b"]" * 70 + b"]}"
        refused(await gate.request("POST", PATH, deep), 400, None, "nested deeper")


async def test_a_full_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.stores.sql.conversations.MOST_ITEMS", 2)
    async with EngineDouble() as engine, portico(engine) as gate:
        made = await make(gate, "one", "two")
        reply = await gate.request("POST", f"{PATH}/{made}/items", {"items": [said("three")]})
        refused(reply, 400, "items", "at most 2 items", "begin another")


async def test_items_are_moderated_when_a_response_is_made_of_them(tmp_path: Path) -> None:
    policy = tmp_path / "house.yaml"
    rule = "{id: codename, category: business/confidential, literals: [the lantern], action: block}"
    policy.write_text(f"name: house\nversion: 1\nrules: [{rule}]\n", encoding="utf-8")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        for content, status in (("nothing of it", 200), (SECRET, 400)):
            made = await make(gate, content)
            body = {"model": MODEL, "conversation": made, "input": "Go on."}
            reply = await gate.request("POST", "/v1/responses", body)
            assert reply.status == status, reply.json
        assert reply.json["error"]["code"] == "content_filter"
        assert len(engine.calls) == 1, "the other one did not reach it"


async def test_what_was_said_in_a_response_is_in_its_conversation() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        made = await make(gate, "first")
        body = {"model": MODEL, "conversation": made, "input": "second"}
        reply = await gate.request("POST", "/v1/responses", body)
        assert reply.status == 200, reply.json
        assert reply.json["conversation"] == {"id": made}
        page = await listed(gate, made, "?order=asc")
        assert texts(page)[:2] == ["first", "second"]
        assert page["data"][-1]["role"] == "assistant"
        assert [one["id"] for one in page["data"]][2:] == [one["id"] for one in reply.json["output"]]


async def test_requests_count_to_limits() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        limited = await Tenants(gate).limited(requests_per_minute=2)
        first = await gate.request("POST", PATH, {}, limited)
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert (await gate.request("GET", f"{PATH}/{first.json['id']}", key=limited)).status == 200
        refused(await gate.request("GET", f"{PATH}/{first.json['id']}", key=limited), 429, None)


async def test_keys_may_be_kept_out() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        elsewhere, _ = await Tenants(gate).key(endpoints=("chat.completions",))
        refused(await gate.request("POST", PATH, {}, elsewhere), 403, None)


async def test_what_is_stored_is_in_no_log() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        made = await make(gate, SECRET, metadata={"about": SECRET})
        await listed(gate, made)
        await gate.request("POST", f"{PATH}/{made}/items", {"items": [said(SECRET) | {"wrong": SECRET}]})
        assert "conversations" in gate.log_text()
        assert SECRET not in gate.log_text() and SECRET not in gate.exposition()


async def test_it_is_there_after_a_restart(tmp_path: Path) -> None:
    stores = {"durable": f"sqlite:///{tmp_path}/portico.db"}
    async with EngineDouble() as engine:
        async with portico(engine, stores=stores) as gate:
            made = await make(gate, "kept")
        async with portico(engine, stores=stores) as gate:
            assert texts(await listed(gate, made)) == ["kept"]


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir() if path.is_file()]


async def test_encrypted(tmp_path: Path) -> None:
    place = {"durable": f"sqlite:///{tmp_path}/portico.db"}
    async with EngineDouble() as engine:
        async with portico(engine, stores=place | {"encryption": {"key": SEALING_KEY}}) as gate:
            made = await make(gate, SECRET, metadata={"about": SECRET})
            assert texts(await listed(gate, made)) == [SECRET]
            files = contents(tmp_path)
            assert files and not any(SECRET.encode() in data for data in files)
        async with portico(engine, stores=place) as gate:
            reply = await gate.request("GET", f"{PATH}/{made}")
            refused(reply, 503, None)
            assert gate.log_text().count("stores.encryption") == 1, "one line that says what to do"
