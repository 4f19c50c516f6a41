"""Judges over the whole way of a call: asked before the request goes on, and before any of an answer leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest

from server.auth.issue import issue_admin_key
from server.auth.secrets import tag_key
from tests.behaviour.engine_double import EngineDouble, Exchange, Script, answer, error, hang
from tests.behaviour.serving import MODEL, Gate, eventually, portico
from tests.behaviour.tenants import ACTOR
from tests.behaviour.vllm import Reply

Three = tuple[Gate, EngineDouble, EngineDouble]
POLICY = """
name: judged
version: 1
message: {en: "Not here."}
rules: [{id: hint, category: own, literals: [hint], action: shadow}]
judges:
  - {engine: two, policy_text: rules.md, categories: [illicit], timeout_s: TIMEOUT, SETTINGS}
stream: {STREAM}
"""


def judging(word: str = "poison") -> Script:
    """Objects to texts with this word."""

    async def script(exchange: Exchange) -> None:
        question = exchange.call.json["messages"][-1]["content"]
        verdict = {"violation": int(word in question), "policy_category": "illicit" if word in question else None}
        await answer(Reply([json.dumps(verdict)], reasoning="x"))(exchange)

    return script


@asynccontextmanager
async def judged(
    folder: Path, settings: str = "when: always", stream: str = "mode: full", timeout_s: float = 0.6
) -> AsyncIterator[tuple[Gate, EngineDouble, EngineDouble]]:
    """Portico, its engine, and the judge."""
    policy = folder / "judged.yaml"
    write(policy, POLICY.replace("SETTINGS", settings).replace("STREAM", stream).replace("TIMEOUT", str(timeout_s)))
    write(folder / "rules.md", "No poison.")
    models = {
        MODEL: {"engines": ["one"], "context_length": 4096},
        "guard": {"engines": ["two"], "context_length": 4096, "engine_model": "safeguard-20b"},
    }
    async with EngineDouble() as engine, EngineDouble() as judge:
        judge.always = judging()
        async with portico(engine, judge, models=models, moderation={"policy": str(policy)}) as gate:
            yield gate, engine, judge


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def said(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


async def test_a_request_is_judged_before_an_engine_gets_it(tmp_path: Path) -> None:
    async with judged(tmp_path, "directions: [input]") as (gate, engine, judge):
        assert (await gate.chat(messages=said("good soup"))).status == 200
        question = judge.calls[0].json
        assert question["model"] == "safeguard-20b"
        assert "No poison." in question["messages"][0]["content"]
        assert "good soup" in question["messages"][1]["content"]
        reply = await gate.chat(messages=said("poison soup"))
        assert (reply.status, reply.json["error"]["code"], reply.json["error"]["message"]) == (
            400, "content_filter", "Not here.",
        )  # fmt: skip
        assert len(engine.calls) == 1
        assert (
            gate.metric(
                "portico_moderation_decisions_total", policy="judged", direction="input", tier="judge", action="block"
            )
            == 1
        )
        assert "poison" not in gate.log_text()


@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_of_a_bad_answer_leaves(tmp_path: Path, stream: bool) -> None:
    async with judged(tmp_path, "directions: [output]") as (gate, engine, _):
        engine.always = answer(Reply(["A ", "good ", "poison."], reasoning="Hm."))
        reply = await gate.chat(stream=stream, stream_options={"include_usage": True} if stream else None)
        assert reply.status == 200
        assert (reply.text(), reply.text("reasoning"), reply.finish()) == ("", "", "content_filter")
        usage = reply.events[-1]["usage"] if stream else reply.json["usage"]
        assert usage["completion_tokens"] > 0
        assert b"poison" not in reply.body


@pytest.mark.parametrize("stream", [True, False])
async def test_all_of_a_good_answer_leaves(tmp_path: Path, stream: bool) -> None:
    async with judged(tmp_path, "directions: [output]") as (gate, engine, judge):
        engine.always = answer(Reply(["A ", "good ", "soup."], reasoning="Hm."))
        reply = await gate.chat(stream=stream)
        assert (reply.text(), reply.text("reasoning"), reply.finish()) == ("A good soup.", "Hm.", "stop")
        assert "A good soup." in judge.calls[0].json["messages"][1]["content"]


@pytest.mark.parametrize("stream", [True, False])
async def test_each_choice_for_itself(tmp_path: Path, stream: bool) -> None:
    async with judged(tmp_path, "directions: [output]") as (gate, engine, _):
        engine.always = answer(Reply(["good"], others={1: Reply(["poison"])}))
        reply = await gate.chat(stream=stream, n=2)
        assert (reply.text(index=0), reply.finish(0)) == ("good", "stop")
        assert (reply.text(index=1), reply.finish(1)) == ("", "content_filter")


async def test_the_engine_is_free_while_its_answer_is_judged(tmp_path: Path) -> None:
    async with judged(tmp_path, "directions: [output]") as (gate, engine, judge):
        judge.always = hang()
        async with gate.opened(stream=True):
            await eventually(lambda: judge.calls)
            assert gate.parts.engines["one"].in_flight == 0
            assert len(gate.parts.gateway.trips) == 1
        await eventually(lambda: not gate.parts.gateway.trips)
        await eventually(judge.calls[0].left.is_set)
        assert len(engine.calls) == 1


@pytest.mark.parametrize("direction", ["input", "output"])
@pytest.mark.parametrize(
    "fault",
    [hang(), error(500), answer(Reply(["I find it fine."])), answer(Reply(['{"violation": 0}']))],
    ids=["late", "broken", "malformed", "by-another-schema"],
)
async def test_without_a_verdict_nothing_passes(tmp_path: Path, direction: str, fault: Script) -> None:
    async with judged(tmp_path, f"directions: [{direction}]") as (gate, engine, judge):
        judge.always = fault
        reply = await gate.chat()
        assert (reply.status, reply.json["error"]["code"]) == (503, "moderation_unavailable")
        assert len(engine.calls) == (direction == "output")
        assert "retry-after" in reply.headers
        assert gate.total("portico_moderation_judge_failures_total", judge="safeguard@two", on_failure="closed") == 1
        assert gate.total("portico_moderation_decisions_total", direction=direction, action="block") == 1


async def test_an_explanation_shows_each_tiers_verdict(tmp_path: Path) -> None:
    """To administrators, and if they ask for it; of what a call would ask."""
    async with judged(tmp_path, "when: escalate, directions: [input]") as (gate, engine, judge):
        admin, secret = issue_admin_key(tag_key(gate.server_secret), int(time()), "ops")
        await gate.parts.durable.create_admin_key(admin, ACTOR)

        async def explained(text: str, **more: Any) -> Any:
            reply = await gate.request("POST", "/v1/organization/moderation/explain", {"text": text, **more}, secret)
            assert reply.status == 200
            return reply.json

        told = await explained("a hint of poison", judges=True)
        assert (told["verdict"], told["matches"][0]["tier"], told["not_asked"]) == ("shadow", "rules", [])
        (one,) = told["judges"]
        assert (one["judge"], one["tier"], one["verdict"]) == ("safeguard@two", "judge", "block")
        assert (one["category"], one["scores"]) == ("illicit", {"illicit": 1.0})
        (one,) = (await explained("a hint", judges=True))["judges"]
        assert (one["verdict"], one["category"], one["scores"]) == ("pass", None, {})
        assert (await explained("poison", judges=True))["judges"] == [], "nothing escalates it"
        assert (await explained("a hint", judges=True, direction="output"))["judges"] == []
        judge.always = error(500)
        (one,) = (await explained("another hint", judges=True))["judges"]
        assert (one["verdict"], one["category"]) == ("block", "no-verdict/refused")
        asked = len(judge.calls)
        assert (await explained("a last hint"))["not_asked"] == ["two"]
        assert len(judge.calls) == asked and not engine.calls


@pytest.mark.parametrize("direction", ["input", "output"])
async def test_open_lets_it_pass_and_tells(tmp_path: Path, direction: str) -> None:
    async with judged(tmp_path, f"directions: [{direction}], on_failure: open") as (gate, _, judge):
        judge.always = error(500)
        assert (await gate.chat()).status == 200
        lines = [json.loads(line) for line in gate.log_text().splitlines()]
        (line,) = [line for line in lines if line["msg"] == "moderation"]
        assert (line["direction"], line["action"]) == (direction, "flag")
        assert line["matches"][0]["rule"] == "safeguard@two"
        assert (line["matches"][0]["category"], line["matches"][0]["tier"]) == ("no-verdict/refused", "judge")
        passed = {"judge": "safeguard@two", "failure": "refused", "on_failure": "open"}
        assert gate.metric("portico_moderation_judge_failures_total", **passed) == 1


async def test_escalated_only_where_something_was_found(tmp_path: Path) -> None:
    async with judged(tmp_path, "directions: [input], when: escalate") as (gate, _, judge):
        assert (await gate.chat(messages=said("poison"))).status == 200
        assert not judge.calls
        assert (await gate.chat(messages=said("a hint of poison"))).status == 400
        assert len(judge.calls) == 1


async def test_a_verdict_is_remembered(tmp_path: Path) -> None:
    async with judged(tmp_path, "directions: [input]") as (gate, engine, judge):
        replies = await asyncio.gather(*(gate.chat(messages=said("good")) for _ in range(4)))
        assert [reply.status for reply in replies] == [200] * 4
        assert len(judge.calls) == 1
        assert len(engine.calls) == 4


@pytest.mark.parametrize("way", [{"logprobs": True}])
async def test_no_way_around(tmp_path: Path, way: dict[str, Any]) -> None:
    async with judged(tmp_path) as (gate, _, _):
        assert (await gate.chat(**way)).json["error"]["param"] == "logprobs"


async def test_an_answer_that_is_judged_for_long_keeps_its_client(tmp_path: Path) -> None:
    async with judged(tmp_path, "directions: [output]", timeout_s=10) as (gate, _, judge):

        async def slow(exchange: Exchange) -> None:
            await asyncio.sleep(1.8)
            await judging()(exchange)

        judge.always = slow
        reply = await gate.chat(stream=True)
        assert reply.body.startswith(b": keep-alive")
        assert b"friend" in reply.body
