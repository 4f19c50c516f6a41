from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from server.commands.doctor.engines import EngineFacts, judge_engine, judge_model, listed_in, probe_engine
from server.config import Engine, Model
from tests.behaviour.processes import free_port
from tests.commands.doctor.answering import answering

MODEL = Model(engines=("one",), context_length=4096)
GOOD = EngineFacts("host:8000", models={"gpt": 4096}, make="vLLM", version="0.33.0")


def lines(facts: EngineFacts, models: Mapping[str, Model] | None = None, **engine: Any) -> list[tuple[str, str]]:
    one = Engine.model_validate({"url": "http://host:8000/v1", "api_key": "sk-s3cr3t"} | engine)
    found = [(each.level, each.line) for each in judge_engine("one", one, facts, models or {"gpt": MODEL})]
    assert all("s3cr3t" not in line for _, line in found)
    return found


def test_a_good_one() -> None:
    assert lines(GOOD) == [
        ("ok", "ok    engine one: vLLM 0.33.0 at host:8000"),
        ("ok", "ok    engine one serves gpt, with a context of 4096 tokens"),
    ]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (EngineFacts("h:1", "connection refused"), "h:1: connection refused; start it, or correct engines.one.url"),
        (EngineFacts("h:1", status=401), "refuses the key (status 401); correct engines.one.api_key"),
        (EngineFacts("h:1", status=403), "refuses the key"),
        (EngineFacts("h:1", status=404), "answers 404 to the list of its models; engines.one.url mostly ends in /v1"),
        (EngineFacts("h:1", status=503), "answers 503"),
        (EngineFacts("h:1"), "gives no list of models"),
    ],
)
def test_one_that_cannot_be_used(facts: EngineFacts, said: str) -> None:
    ((level, line),) = lines(facts)
    assert level == "fail" and said in line


def test_what_is_odd_about_it() -> None:
    assert lines(EngineFacts("h:1", models={"gpt": None}))[0][1].endswith("of a make that is not known here at h:1")
    old = lines(EngineFacts("h:1", models={"gpt": 4096}, make="vLLM", version="0.11.2"))
    assert old[1][0] == "warn" and "older than what was tested" in old[1][1]
    other = lines(EngineFacts("h:1", models={"gpt": 4096}, make="Ollama", version="0.1"), vllm=True)
    assert other[1] == (
        "warn",
        "warn  engine one is Ollama and may refuse priorities and salts, which are vLLM's; take engines.one.vllm out",
    )
    assert all(level == "ok" for level, _ in lines(GOOD, vllm=True))


@pytest.mark.parametrize(
    ("model", "served", "level", "said"),
    [
        (MODEL, {"gpt": 8192}, "ok", "with a context of 8192 tokens"),
        (MODEL, {"gpt": None}, "ok", "engine one serves gpt"),
        (MODEL, {"gpt": 2048}, "warn", "set models.gpt.context_length: 2048"),
        (MODEL, {"other": 1, "a": 1}, "fail", "set models.gpt.engine_model to what it serves: a, other"),
        (MODEL, {}, "fail", "what it serves: none"),
        (MODEL.model_copy(update={"engine_model": "x"}), {"gpt": 1}, "fail", "does not serve x, which models.gpt asks"),
        (MODEL.model_copy(update={"engine_model": "x"}), {"x": 4096}, "ok", "serves gpt"),
    ],
)
def test_a_model(model: Model, served: dict[str, int | None], level: str, said: str) -> None:
    (verdict,) = judge_model("engine one", "gpt", model, served)
    assert verdict.level == level and said in verdict.line


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"data": {}}', b'{"data": [{"name": 1}]}', b"[" * 100_000])
def test_no_list_of_models(body: bytes) -> None:
    assert listed_in(body) is None


@pytest.mark.parametrize(
    ("owner", "path", "told", "make", "version"),
    [
        ("vllm", "/version", {"version": "0.33.0"}, "vLLM", "0.33.0"),
        ("sglang", "/get_server_info", {"version": "0.5.9", "more": 1}, "SGLang", "0.5.9"),
        ("library", "/api/version", {"version": "0.14.0"}, "Ollama", "0.14.0"),
        ("llamacpp", "/props", {"build_info": "b7000-abc"}, "llama.cpp", "b7000-abc"),
        ("organization_owner", "/", {}, "LM Studio", ""),
        ("somebody", "/version", {"version": "1"}, "", ""),
        ("vllm", "/version", {"version": "1\r\nx: y"}, "vLLM", ""),
        ("vllm", "/other", {}, "vLLM", ""),
    ],
)
async def test_asking_one(owner: str, path: str, told: object, make: str, version: str) -> None:
    listed = {"object": "list", "data": [{"id": "gpt", "object": "model", "owned_by": owner, "max_model_len": 4096}]}
    async with answering({"/v1/models": (200, listed), path: (200, told)}, ahead_s=-30) as other:
        facts = await probe_engine(f"{other.url}/v1/", "sk-s3cr3t")
        assert (facts.make, facts.version, facts.models, facts.problem) == (make, version, {"gpt": 4096}, "")
        assert facts.ahead_s == pytest.approx(-30, abs=2)
        assert facts.place == f"127.0.0.1:{other.port}"
        assert "authorization: Bearer sk-s3cr3t\r\n" in other.heads[0]


async def test_asking_one_that_refuses_or_is_not_there() -> None:
    async with answering({"/v1/models": (401, {"error": "x"})}) as other:
        assert (await probe_engine(f"{other.url}/v1", None)).status == 401
        assert "authorization" not in other.heads[0]
    assert (await probe_engine(f"http://127.0.0.1:{free_port()}/v1", None)).problem
