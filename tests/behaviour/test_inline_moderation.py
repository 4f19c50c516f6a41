"""The `moderation` of a chat request: OpenAI's shape, over the policies of this server. It only adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, error
from tests.behaviour.serving import portico
from tests.behaviour.test_judges import judged
from tests.behaviour.vllm import Reply
from tests.behaviour.wire import Reply as Answered
from tests.openai_schema import validator

HOUSE = """
name: house
version: 7
rules:
  - {id: codename, category: illicit, literals: [project lantern], action: block}
  - {id: mood, category: harassment, literals: [grumble], action: flag}
  - {id: mail, category: privacy, detectors: [email], action: redact, replacement: MAIL}
  - {id: trial, category: violence, literals: [banana], action: shadow}
"""
OTHER = """
name: other
version: 2
bidi_overrides: allow
rules: [{id: pear, category: violence/graphic, literals: [pear], action: block}]
"""
OPENAI = {"model": "omni-moderation-latest"}


@pytest.fixture
def moderation(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "house.yaml").write_text(HOUSE, encoding="utf-8")
    (tmp_path / "other.yaml").write_text(OTHER, encoding="utf-8")
    return {"policy": str(tmp_path / "house.yaml"), "folder": str(tmp_path)}


def said(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def asking(model: str = "omni-moderation-latest", **modes: str) -> dict[str, Any]:
    return {"model": model, "policy": {direction: {"mode": mode} for direction, mode in modes.items()}}


def told(reply: Answered) -> dict[str, Any]:
    """What the answer tells. It is told once, with the last chunk that is not the usage."""
    if not reply.headers["content-type"].startswith("text/event-stream"):
        validator("CreateChatCompletionResponse")(reply.json)
        return reply.json["moderation"]
    for event in reply.events:
        validator("CreateChatCompletionStreamResponse")(event)
    (found,) = [event for event in reply.events if "moderation" in event]
    rest = reply.events[reply.events.index(found) + 1 :]
    assert found["choices"] == [] and not [event for event in rest if event["choices"]]
    return found["moderation"]


def flagged(part: dict[str, Any]) -> list[list[str]]:
    for one in part["results"]:
        assert one["flagged"] == any(one["categories"].values())
    return [sorted(name for name, is_so in one["categories"].items() if is_so) for one in part["results"]]


@pytest.mark.parametrize("stream", [True, False])
async def test_scores_change_nothing_and_are_told(moderation: dict[str, Any], stream: bool) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        engine.always = answer(Reply(["I gru", "mble at b", "ob@corp.com"], others={1: Reply(["fine"])}))
        reply = await gate.chat(messages=said("a banana, grumble"), moderation=OPENAI, n=2, **options)
        found = told(reply)
        assert found["input"]["type"] == found["output"]["type"] == "moderation_results"
        assert found["input"]["model"] == "house-7"
        assert flagged(found["input"]) == [["harassment"]]
        assert flagged(found["output"]) == [["harassment", "privacy"], []]
        assert found["output"]["results"][0]["category_scores"]["harassment"] == 1
        assert found["output"]["results"][0]["category_applied_input_types"]["sexual"] == []
        assert reply.text() == "I grumble at MAIL", "what applies anyhow does as ever"
        assert "moderation" not in engine.calls[-1].json
        if stream:
            assert reply.events[-1]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("stream", [True, False])
async def test_block_blocks_what_would_only_be_flagged(moderation: dict[str, Any], stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        for text in ("grumble", "to bob@corp.com", "project lantern"):
            reply = await gate.chat(messages=said(text), moderation=asking(input="block"), stream=stream)
            assert (reply.status, reply.error["code"]) == (400, "content_filter")
        assert not engine.calls
        engine.always = answer(Reply(["I ban", "ana and gru", "mble. So"]))
        reply = await gate.chat(messages=said("a banana"), moderation=asking(output="block"), stream=stream)
        assert (reply.text(), reply.finish()) == ("I banana and ", "content_filter")
        assert flagged(told(reply)["output"]) == [["harassment"]]
        reply = await gate.chat(messages=said("grumble"), moderation=asking(output="block"), stream=stream)
        assert (reply.status, flagged(told(reply)["input"])) == (200, [["harassment"]])


async def test_a_mode_takes_nothing_away(moderation: dict[str, Any]) -> None:
    """`score`, another policy, no policy at all: what blocks, blocks."""
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        for asked in (OPENAI, asking(input="score", output="score"), asking("other"), {"model": "none"}):
            reply = await gate.chat(messages=said("project lantern"), moderation=asked)
            assert (reply.status, reply.error["code"]) == (400, "content_filter")
            engine.plan(answer(Reply(["so project ", "lantern"])))
            reply = await gate.chat(moderation=asked)
            assert (reply.text(), reply.finish()) == ("so ", "content_filter")


@pytest.mark.parametrize("stream", [True, False])
async def test_another_policy_looks_or_blocks(moderation: dict[str, Any], stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate:
        engine.always = answer(Reply(["a pe", "ar, grumble"]))
        reply = await gate.chat(messages=said("pear \u202e"[:4]), moderation={"model": "other"}, stream=stream)
        found = told(reply)
        assert (found["input"]["model"], reply.text(), reply.finish()) == ("other-2", "a pear, grumble", "stop")
        assert flagged(found["input"]) == flagged(found["output"]) == [["violence/graphic"]]
        reply = await gate.chat(moderation=asking("other", output="block"), stream=stream)
        assert (reply.text(), reply.finish()) == ("a ", "content_filter")
        reply = await gate.chat(messages=said("pear"), moderation=asking("other", input="block"), stream=stream)
        assert reply.status == 400


async def test_names_and_modes_that_are_not_there(moderation: dict[str, Any]) -> None:
    folder_alone = {"folder": moderation["folder"]}
    async with EngineDouble() as engine, portico(engine, moderation=folder_alone) as gate:
        for asked, status, code, param in (
            ({"model": "no-such"}, 404, "model_not_found", "moderation.model"),
            (OPENAI, 404, "model_not_found", "moderation.model"),
            ({}, 400, "missing_required_parameter", "moderation.model"),
            (asking(input="loud"), 400, "invalid_value", "moderation.policy.input.mode"),
            (OPENAI | {"threshold": 1}, 400, "unknown_parameter", "moderation.threshold"),
        ):
            reply = await gate.chat(moderation=asked)
            assert (reply.status, reply.error["code"], reply.error["param"]) == (status, code, param)
        reply = await gate.chat(moderation={"model": "house", "policy": None})
        assert flagged(told(reply)["output"]) == [[]]
        assert (await gate.chat(messages=said("project lantern"), moderation={"model": "house"})).status == 200
        assert (await gate.chat(messages=said("a\u202eb"), moderation={"model": "house"})).status == 200
        assert "moderation" not in (await gate.chat()).json
        assert (await gate.complete(moderation=OPENAI)).error["code"] == "unknown_parameter"


async def test_block_refuses_logprobs_and_score_does_not(moderation: dict[str, Any]) -> None:
    folder_alone = {"folder": moderation["folder"]}
    async with EngineDouble() as engine, portico(engine, moderation=folder_alone) as gate:
        assert (await gate.chat(moderation=asking("other"), logprobs=True)).status == 200
        reply = await gate.chat(moderation=asking("other", output="block"), logprobs=True)
        assert (reply.status, reply.error["param"]) == (400, "logprobs")


@pytest.mark.parametrize("stream", [True, False])
async def test_judges_are_told_too(tmp_path: Path, stream: bool) -> None:
    async with judged(tmp_path, "action: flag, on_failure: open") as (gate, engine, judge):
        engine.always = answer(Reply(["good ", "poison"], others={1: Reply(["good"])}))
        reply = await gate.chat(messages=said("poison"), moderation=OPENAI, n=2, stream=stream)
        found = told(reply)
        assert (flagged(found["input"]), flagged(found["output"])) == ([["illicit"]], [["illicit"], []])
        assert reply.text() == "good poison"
        assert found["input"]["results"][0]["category_applied_input_types"]["illicit"] == ["text"]
        reply = await gate.chat(messages=said("poison!"), moderation=asking(input="block"), stream=stream)
        assert reply.status == 400
        reply = await gate.chat(moderation=asking(output="block"), n=2, stream=stream)
        assert (reply.text(), reply.finish(), reply.finish(1)) == ("", "content_filter", "stop")
        assert flagged(told(reply)["output"]) == [["illicit"], []]
        judge.always, engine.always = error(500), answer(Reply(["another"]))
        found = told(await gate.chat(messages=said("soup"), moderation=OPENAI, stream=stream))
        assert {found[direction]["type"] for direction in ("input", "output")} == {"error"}
        assert found["input"]["code"] == "moderation_unavailable"


async def test_the_official_sdk(moderation: dict[str, Any]) -> None:
    async with EngineDouble() as engine, portico(engine, moderation=moderation) as gate, gate.sdk() as client:
        body: Any = {"moderation": OPENAI}
        whole = await client.chat.completions.create(
            model="gpt-oss-20b", messages=[{"role": "user", "content": "grumble"}], extra_body=body
        )
        assert whole.model_dump()["moderation"]["input"]["results"][0]["flagged"] is True
        async with client.chat.completions.stream(
            model="gpt-oss-20b", messages=[{"role": "user", "content": "grumble"}], extra_body=body
        ) as stream:
            assert [event async for event in stream]
            assert (await stream.get_final_completion()).choices[0].finish_reason == "stop"
