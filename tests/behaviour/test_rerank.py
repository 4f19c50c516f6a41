"""POST /v1/rerank: in the shape of Jina and Cohere, over engines that have that and over SGLang, which has not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, Exchange, Script, error
from tests.behaviour.pooling import E5, MODELS, PROMPT_TOKENS, RANKER, RERANK, ranking
from tests.behaviour.serving import KEY, MODEL, Gate, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.test_embeddings import house
from tests.behaviour.test_usage import recorded
from tests.behaviour.wire import Reply

DOCUMENTS = ["a cat", "a dog", "a model"]
SCORES = (0.25, 0.125, 0.75)


def engine_of(script: Script | None = None) -> EngineDouble:
    engine = EngineDouble()
    engine.always = script or ranking(*SCORES)
    return engine


async def rank(gate: Gate, path: str = RERANK, key: str = KEY, **body: Any) -> Reply:
    return await gate.request("POST", path, {"model": RANKER, "query": "Who?", "documents": DOCUMENTS} | body, key)


def order(reply: Reply) -> list[int]:
    return [one["index"] for one in reply.json["results"]]


@pytest.mark.parametrize("path", [RERANK, "/v2/rerank", "/rerank"])
async def test_documents_in_order(path: str) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await rank(gate, path)
        assert reply.status == 200
        assert reply.json == {
            "id": reply.headers["x-request-id"],
            "model": RANKER,
            "results": [
                {"index": index, "relevance_score": SCORES[index], "document": {"text": DOCUMENTS[index]}}
                for index in (2, 0, 1)
            ],
            "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS},
        }
        (call,) = engine.calls
        assert (call.path, call.json) == (
            RERANK, {"model": "/weights/ranker", "query": "Who?", "documents": DOCUMENTS},
        )  # fmt: skip


async def test_some_of_them_and_without_their_texts() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await rank(gate, top_n=2, return_documents=False)
        assert reply.json["results"] == [{"index": 2, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.25}]
        assert engine.calls[-1].json["top_n"] == 2
        assert "return_documents" not in engine.calls[-1].json
        assert order(await rank(gate, top_n=99)) == [2, 0, 1]


async def test_documents_as_objects() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await rank(gate, documents=[{"text": "a cat"}, "a dog", {"text": "a model"}])
        assert order(reply) == [2, 0, 1]
        assert engine.calls[-1].json["documents"] == DOCUMENTS


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("query", {"query": ""}),
        ("query", {"query": None}),
        ("documents", {"documents": []}),
        ("documents", {"documents": ["canary"] * 2049}),
        ("documents", {"documents": "canary"}),
        ("documents[1]", {"documents": ["a", ""]}),
        ("documents[0]", {"documents": [{"text": ""}]}),
        ("documents[0].title", {"documents": [{"text": "a", "title": "canary"}]}),
        ("documents[0]", {"documents": [5]}),
        ("top_n", {"top_n": 0}),
        ("return_documents", {"return_documents": "canary"}),
        ("max_tokens_per_doc", {"max_tokens_per_doc": 5}),
        ("priority", {"priority": 5}),
        ("model", {"model": MODEL}),
        ("model", {"model": E5}),
    ],
)
async def test_what_is_refused(param: str, body: dict[str, Any]) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        reply = await rank(gate, **body)
        assert (reply.status, reply.error["param"]) == (400, param)
        assert b"canary" not in reply.body
        assert not engine.calls


async def test_one_model_for_both() -> None:
    models = {E5: {"engines": ["one"], "serves": ["embeddings", "rerank"]}}
    async with engine_of() as engine, portico(engine, models=models) as gate:
        assert (await rank(gate, model=E5)).status == 200
        message = (await gate.chat(model=E5)).error["message"]
        assert "serves embeddings (POST /v1/embeddings) and rerank (POST /v1/rerank), not chat" in message


async def sglang(exchange: Exchange) -> None:
    """As serving_rerank.py of sgl-project/sglang at commit 15bb7d4e: a bare list; other fields it may refuse."""
    body = exchange.call.json
    if set(body) != {"query", "documents"}:
        await exchange.whole(400, json.dumps({"object": "error", "message": f"extra: {sorted(body)}"}).encode())
        return
    found = [
        {"score": score, "document": text, "index": index, "meta_info": {"id": "x", "prompt_tokens": 4}}
        for index, (text, score) in enumerate(zip(body["documents"], SCORES, strict=True))
    ]
    found.sort(key=lambda one: -one["score"])
    await exchange.whole(200, json.dumps(found).encode())


async def llamacpp(exchange: Exchange) -> None:
    """As format_response_rerank of ggml-org/llama.cpp: without documents; older ones neither sort nor cut."""
    results = [{"index": index, "relevance_score": score} for index, score in enumerate(SCORES)]
    usage = {"prompt_tokens": 12, "total_tokens": 12}
    answer = {"model": "m", "object": "list", "usage": usage, "results": results}
    await exchange.whole(200, json.dumps(answer).encode())


@pytest.mark.parametrize(("make", "script"), [("sglang", sglang), ("llamacpp", llamacpp)])
async def test_other_makes(make: str, script: Script) -> None:
    async with engine_of(script) as engine, portico(engine, models=MODELS, makes=[make]) as gate:
        reply = await rank(gate, top_n=2)
        assert reply.json["results"] == [
            {"index": index, "relevance_score": SCORES[index], "document": {"text": DOCUMENTS[index]}}
            for index in (2, 0)
        ]
        assert reply.json["usage"] == {"prompt_tokens": 12, "total_tokens": 12}
        assert reply.json["model"] == RANKER


@pytest.mark.parametrize(
    "answer",
    [b"{}", b"nonsense", b'{"results": [{"index": 9, "relevance_score": 1}]}', b'{"results": [{"index": 0}]}'],
)
async def test_nonsense_of_an_engine(answer: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.whole(200, answer)

    async with engine_of(script) as engine, portico(engine, models=MODELS) as gate:
        reply = await rank(gate)
        assert (reply.status, reply.error["code"]) == (502, "engine_error")


async def test_an_engine_that_fails_is_passed_over() -> None:
    models = {RANKER: {"engines": ["one", "two"], "serves": ["rerank"]}}
    async with engine_of() as one, engine_of() as two, portico(one, two, models=models) as gate:
        for engine in (one, two):
            engine.plan(error(500))
            assert (await rank(gate)).status == 200
            engine._plan.clear()
        assert gate.total("portico_engine_retries_total") >= 1


async def test_another_model_in_its_place() -> None:
    models = {
        RANKER: {"engines": ["one"], "serves": ["rerank"], "fallback": "spare"},
        "spare": {"engines": ["two"], "serves": ["rerank"]},
    }
    async with engine_of() as one, engine_of() as two, portico(one, two, models=models) as gate:
        await one.stop()
        gate.parts.engines["one"].mark(up=False, why="stopped")
        reply = await rank(gate)
        assert (reply.status, reply.json["model"], len(two.calls)) == (200, "spare", 1)
        assert reply.headers["x-portico-fallback-from"] == RANKER


async def test_the_bound_counts_the_query_with_each_document() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        secret = await Tenants(gate).limited(tokens_per_minute=3000)
        assert (await rank(gate, key=secret, query="x" * 500)).status == 200
        refused = await rank(gate, key=secret, query="x" * 1000)
        assert refused.status == 429
        assert len(engine.calls) == 1


async def test_usage() -> None:
    async with engine_of() as engine, portico(engine, models=MODELS) as gate:
        await rank(gate)
        (total,) = await recorded(gate, 1)
        assert (total.model, total.prompt, total.completion) == (RANKER, PROMPT_TOKENS, 0)
        assert gate.metric("portico_requests_total", model=RANKER, endpoint="rerank", outcome="ok") == 1
        (line,) = gate.log_lines()
        assert (line["endpoint"], line["prompt_tokens"]) == ("rerank", PROMPT_TOKENS)
        assert "Who?" not in gate.log_text() and "a cat" not in gate.log_text()


async def test_what_a_policy_does(tmp_path: Path) -> None:
    async with engine_of() as engine, portico(engine, models=MODELS, moderation=house(tmp_path)) as gate:
        refusals: dict[str, dict[str, Any]] = {
            "query": {"query": "project lantern"},
            "documents[2]": {"documents": ["a", "b", "c project lantern"]},
            "documents[0].text": {"documents": [{"text": "project lantern"}]},
        }
        for param, body in refusals.items():
            refused = (await rank(gate, **body)).error
            assert (refused["code"], refused["param"]) == ("content_filter", param)
        assert not engine.calls
        documents = ["ana@example.com", {"text": "or ben@example.com"}, "nobody"]
        reply = await rank(gate, query="of ana@example.com", documents=documents)
        sent = engine.calls[-1].json
        assert (sent["query"], sent["documents"]) == ("of <mail>", ["<mail>", "or <mail>", "nobody"])
        assert "example.com" not in reply.body.decode()
