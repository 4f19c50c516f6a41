"""POST /v1/moderations: OpenAI's shape, over the policies of this server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from server.api.turns import MOST_CHARACTERS
from server.config import Limit
from server.moderation.policy import OPENAI_CATEGORIES
from server.openai.moderation_request import MOST_TEXTS
from tests.behaviour.engine_double import EngineDouble, error
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, Gate, eventually, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.test_judges import judged
from tests.behaviour.wire import Reply
from tests.openai_schema import validator

PATH = "/v1/moderations"
HOUSE = """
name: house
version: 7
rules:
  - {id: codename, category: business/confidential, literals: [project lantern], action: block}
  - {id: mood, category: harassment, literals: [grumble], action: flag}
  - {id: mail, category: privacy, detectors: [email], action: redact}
  - {id: trial, category: violence, literals: [banana], action: shadow}
  - {id: told, category: hate, literals: [told], action: block, directions: [output]}
"""
TEAM = """
name: team
version: 2
bidi_overrides: allow
rules:
  - {id: pear, category: violence/graphic, literals: [pear], action: redact}
"""


@pytest.fixture
def moderation(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "house.yaml").write_text(HOUSE, encoding="utf-8")
    (tmp_path / "team.yaml").write_text(TEAM, encoding="utf-8")
    return {"policy": str(tmp_path / "house.yaml"), "folder": str(tmp_path)}


async def ask(gate: Gate, given: Any, key: str | None = KEY, **more: Any) -> Reply:
    reply = await gate.request("POST", PATH, {"input": given, **more}, key)
    if reply.status == 200:
        validator("CreateModerationResponse")(reply.json)
    return reply


def flagged(reply: Reply) -> list[list[str]]:
    """The categories of each result; the other facts of it must agree."""
    out: list[list[str]] = []
    for result in reply.json["results"]:
        names = [name for name, is_so in result["categories"].items() if is_so]
        assert result["category_scores"] == {name: float(name in names) for name in result["categories"]}
        assert set(result["category_applied_input_types"]) == set(result["categories"]) >= set(OPENAI_CATEGORIES)
        assert result["flagged"] == bool(names)
        out.append(names)
    return out


async def test_the_official_sdk(moderation: dict[str, Any]) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate, gate.sdk() as client:
        answer = await client.moderations.create(input="grumble, project lantern")
        assert (answer.model, len(answer.results)) == ("house-7", 1)
        assert answer.id.startswith("modr-") and answer.id != (await client.moderations.create(input="")).id
        (result,) = answer.results
        assert result.flagged and result.categories.harassment and not result.categories.violence
        assert result.category_scores.harassment == 1 and result.category_scores.sexual_minors == 0
        assert result.category_applied_input_types.harassment == ["text"]
        assert result.categories.model_dump()["business/confidential"] is True
        answer = await client.moderations.create(model="omni-moderation-latest", input=["hello", "grumble"])
        assert [one.flagged for one in answer.results] == [False, True]
        parts = [{"type": "text", "text": "project "}, {"type": "text", "text": "lantern"}]
        answer = await client.moderations.create(input=parts)  # type: ignore[arg-type]
        assert [one.flagged for one in answer.results] == [True]
        with pytest.raises(openai.NotFoundError):
            await client.moderations.create(input="hello", model="no-such")
        assert not engine.calls


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("hello", [[]]),
        ("a banana", [[]]),
        ("told", [[]]),
        ("to bob@corp.com", [["privacy"]]),
        (
            ["grumble at bob@corp.com", "x", "PROJECT-LANTERN"],
            [["harassment", "privacy"], [], ["business/confidential"]],
        ),
        ("a \u202ex", [["bidi_overrides"]]),
        ([{"type": "text", "text": "grumble"}, {"type": "text", "text": "bob@corp.com"}], [["harassment", "privacy"]]),
        (["project", "lantern"], [[], []]),
    ],
)
async def test_what_counts(moderation: dict[str, Any], given: Any, names: list[list[str]]) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        reply = await ask(gate, given)
        assert [sorted(one) for one in flagged(reply)] == [sorted(one) for one in names]


async def test_which_categories_are_looked_for_at_all(moderation: dict[str, Any]) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        (result,) = (await ask(gate, "x")).json["results"]
        applied = {name for name, kinds in result["category_applied_input_types"].items() if kinds == ["text"]}
        assert applied == {"business/confidential", "harassment", "privacy", "bidi_overrides"}
        assert list(result["categories"])[: len(OPENAI_CATEGORIES)] == list(OPENAI_CATEGORIES)


async def test_whose_policies(moderation: dict[str, Any]) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        tenants = Tenants(gate)
        secret, _ = await tenants.key(policy="team")
        reply = await ask(gate, "a pear and a grumble", secret)
        assert (reply.json["model"], flagged(reply)) == ("house-7+team-2", [["harassment", "violence/graphic"]])
        reply = await ask(gate, "a pear and a grumble", model="team")
        assert (reply.json["model"], flagged(reply)) == ("team-2", [["violence/graphic"]])
        gone, _ = await tenants.key(policy="gone")
        assert (await ask(gate, "x", gone)).error["code"] == "moderation_unavailable"


async def test_without_any_policy(tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_text(TEAM, encoding="utf-8")
    async with EngineDouble() as engine, portico(engine, moderation={"folder": str(tmp_path)}) as gate:
        reply = await ask(gate, "x")
        assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")
        assert "moderation.policy" in reply.error["message"] and "team" in reply.error["message"]
        assert flagged(await ask(gate, "pear", model="team")) == [["violence/graphic"]]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "missing_required_parameter", "input"),
        ({"input": 5}, 400, "invalid_type", "input"),
        ({"input": []}, 400, "invalid_value", "input"),
        ({"input": ["x"] * (MOST_TEXTS + 1)}, 400, "invalid_value", "input"),
        ({"input": "x" * (MOST_CHARACTERS + 1)}, 400, "invalid_value", "input"),
        ({"input": ["x", {"type": "text", "text": "x"}]}, 400, "invalid_type", "input[1]"),
        ({"input": [{"type": "text", "text": "x"}, "x"]}, 400, "invalid_type", "input[1]"),
        (
            {"input": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:"}}]},
            400,
            "unsupported_value",
            "input[1]",
        ),
        ({"input": [{"type": "sound"}]}, 400, "invalid_value", "input[0].type"),
        ({"input": "x", "threshold": 1}, 400, "unknown_parameter", "threshold"),
        ({"input": "x", "model": "gpt-oss-20b"}, 404, "model_not_found", "model"),
        (b"{", 400, "invalid_json", None),
    ],
    ids=str,
)
async def test_refused(moderation: dict[str, Any], body: Any, status: int, code: str, param: str | None) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        reply = await gate.request("POST", PATH, body)
        assert (reply.status, reply.error["code"], reply.error["param"]) == (status, code, param)


async def test_keys_and_bodies_as_elsewhere(moderation: dict[str, Any]) -> None:
    async with (
        EngineDouble() as engine,
        portico(engine, moderation=moderation, server={"max_body_bytes": 1024}) as gate,
    ):
        assert (await ask(gate, "x", None)).error["code"] == "invalid_api_key"
        assert (await ask(gate, "x" * 1024)).error["code"] == "request_too_large"
        secret, _ = await Tenants(gate).key(endpoints=("chat.completions",))
        assert (await ask(gate, "x", secret)).status == 403
        secret, _ = await Tenants(gate).key(endpoints=("moderations",))
        assert (await ask(gate, "x", secret)).status == 200


async def test_counted_and_logged_without_the_text(moderation: dict[str, Any]) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        reply = await ask(gate, "project lantern")
        assert reply.headers["x-request-id"]
        assert (await ask(gate, 5)).status == 400
        for outcome in ("ok", "invalid"):
            assert gate.total("portico_requests_total", endpoint="moderations", outcome=outcome) == 1
        lines = [(line["endpoint"], line["status"]) for line in gate.log_lines()]
        assert lines == [("moderations", 200), ("moderations", 400)]
        assert "lantern" not in gate.log_text()


async def test_long_texts_take_turns(moderation: dict[str, Any]) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        long = asyncio.create_task(ask(gate, "all is well here. " * 20_000 + "grumble"))
        overtaken = 0
        while not long.done():
            assert (await ask(gate, "hello")).status == 200
            overtaken += not long.done()
        assert flagged(await long) == [["harassment"]]
        assert overtaken


async def test_judges_are_asked_too(tmp_path: Path) -> None:
    async with judged(tmp_path, "on_failure: closed") as (gate, engine, judge):
        reply = await ask(gate, ["soup", "poison", "a hint"])
        assert flagged(reply) == [[], ["illicit"], []]
        assert reply.json["results"][0]["category_applied_input_types"]["illicit"] == ["text"]
        assert len(judge.calls) == 3 and not engine.calls
        parts = [{"type": "text", "text": "fresh"}, {"type": "text", "text": "poison"}]
        assert flagged(await ask(gate, parts)) == [["illicit"]]
        judge.always = error(500)
        reply = await ask(gate, ["another", "and another"])
        assert (reply.status, reply.error["code"]) == (503, "moderation_unavailable")


async def test_a_judge_that_fails_open_has_not_looked(tmp_path: Path) -> None:
    async with judged(tmp_path, "on_failure: open, directions: [input]") as (gate, _, judge):
        judge.always = error(500)
        (result,) = (await ask(gate, "poison")).json["results"]
        assert result["flagged"] is False
        assert result["category_applied_input_types"]["illicit"] == []


async def test_judges_that_are_escalated_to(tmp_path: Path) -> None:
    async with judged(tmp_path, "when: escalate, directions: [input]") as (gate, _, judge):
        assert flagged(await ask(gate, ["poison", "a hint of poison"])) == [[], ["illicit"]]
        assert len(judge.calls) == 1


async def test_calls_count_as_requests(moderation: dict[str, Any]) -> None:
    """Of key and project; tokens there are none. What is refused for its form does not count."""
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        tenants = Tenants(gate)
        limited = await tenants.limited(requests_per_minute=3, tokens_per_minute=500)
        for left in (2, 1):
            reply = await ask(gate, "hello " * 1000, limited)
            assert (reply.status, reply.headers["x-ratelimit-remaining-requests"]) == (200, str(left))
            assert (await ask(gate, 5, limited)).status == 400
        chat = {"model": MODEL, "messages": MESSAGES, "max_tokens": 5}
        assert (await gate.request("POST", CHAT, chat, limited)).status == 200
        reply = await ask(gate, "hello", limited)
        assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
        assert "retry-after" in reply.headers
        assert gate.total("portico_project_requests_total", outcome="ok") == 3
        assert gate.total("portico_project_requests_total", outcome="limited") == 1
        await eventually(lambda: gate.metric("portico_usage_spool_records") == 0)
        totals = await gate.parts.durable.usage(since=0, until=2**40, bucket_s=2**40, group_by=["model"])
        assert {one.model: one.requests for one in totals} == {MODEL: 1, "moderations": 2}
        project = await tenants.project(limits=Limit(requests_per_minute=1))
        first, _ = await tenants.key(project)
        second, _ = await tenants.key(project)
        assert [(await ask(gate, "hello", secret)).status for secret in (first, second)] == [200, 429]
