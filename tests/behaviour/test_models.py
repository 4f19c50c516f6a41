"""Models by name and alias, and what the configuration adds to a request."""

from __future__ import annotations

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import MESSAGES, portico


def test_list(shared: Shared) -> None:
    listed = shared.request("GET", "/v1/models").json
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert (model["id"], model["object"]) == ("gpt-oss-20b", "model")
    assert isinstance(model["created"], int) and isinstance(model["owned_by"], str)


@pytest.mark.parametrize("name", ["gpt-oss-20b", "gpt-4o-mini"])
def test_retrieve(shared: Shared, name: str) -> None:
    reply = shared.request("GET", f"/v1/models/{name}")
    assert (reply.status, reply.json["id"]) == (200, "gpt-oss-20b")


def test_retrieve_an_unknown_one(shared: Shared) -> None:
    reply = shared.request("GET", "/v1/models/gpt-9")
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


def test_an_alias_answers_by_the_public_name(shared: Shared) -> None:
    assert shared.chat(model="gpt-4o-mini").json["model"] == "gpt-oss-20b"
    assert shared.engine.calls[-1].json["model"] == "gpt-oss-20b"


async def test_names_with_a_slash() -> None:
    models = {"openai/gpt-oss-20b": {"engines": ["one"], "engine_model": "/weights/20b"}}
    async with EngineDouble() as engine, portico(engine, models=models) as gate:
        reply = await gate.chat(model="openai/gpt-oss-20b", stream=True)
        assert {event["model"] for event in reply.events} == {"openai/gpt-oss-20b"}
        assert engine.calls[-1].json["model"] == "/weights/20b"
        assert "weights" not in reply.body.decode()
        reply = await gate.request("GET", "/v1/models/openai/gpt-oss-20b")
        assert reply.json["id"] == "openai/gpt-oss-20b"


async def test_defaults_fill_in_what_a_request_leaves_out() -> None:
    defaults = {"temperature": 0.3, "top_p": 0.9, "max_tokens": 77, "reasoning_effort": "low"}
    async with EngineDouble() as engine, portico(engine, model={"defaults": defaults}) as gate:
        await gate.chat()
        sent = engine.calls[-1].json
        assert {name: sent[name] for name in defaults} == defaults
        await gate.chat(temperature=0, top_p=0, max_completion_tokens=5, reasoning_effort="max")
        sent = engine.calls[-1].json
        assert (sent["temperature"], sent["max_tokens"], sent["reasoning_effort"]) == (0, 5, "high")
        assert 0 < sent["top_p"] < 0.001


async def test_developer_prompt_goes_first() -> None:
    async with EngineDouble() as engine, portico(engine, model={"developer_prompt": "Be kind."}) as gate:
        await gate.chat()
        assert engine.calls[-1].json["messages"] == [{"role": "developer", "content": "Be kind."}, *MESSAGES]


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("none", "low"),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "high"),
        ("max", "high"),
    ],
)
def test_reasoning_effort_in_harmonys_words(shared: Shared, asked: str, sent: str) -> None:
    assert shared.chat(reasoning_effort=asked).status == 200
    assert shared.engine.calls[-1].json["reasoning_effort"] == sent


async def test_raw_special_tokens_by_configuration() -> None:
    async with EngineDouble() as engine, portico(engine, model={"raw_special_tokens": True}) as gate:
        assert (await gate.complete(prompt="<|start|>user<|message|>hi<|end|>")).status == 200
        assert engine.calls[-1].json["prompt"] == "<|start|>user<|message|>hi<|end|>"


async def test_the_engines_key() -> None:
    async with EngineDouble() as engine, portico(engine, engine={"api_key": "sk-engine"}) as gate:
        await gate.chat()
        assert engine.calls[-1].headers["authorization"] == "Bearer sk-engine"
