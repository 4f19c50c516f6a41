"""Every route that takes content is moderated, or is named here with the reason why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import BaseRoute, Route

from server.app import RERANK_PATHS, Parts
from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble, answer
from tests.behaviour.pooling import E5, MODELS, RANKER
from tests.behaviour.serving import MESSAGES, MODEL, portico
from tests.behaviour.vllm import Reply

BAD = "project lantern"
COVERED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": MODEL, "messages": [*MESSAGES, {"role": "user", "content": BAD}]},
    "/v1/completions": {"model": MODEL, "prompt": BAD},
    "/v1/messages": {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": BAD}]},
    "/v1/responses": {"model": MODEL, "input": BAD},
    "/v1/responses/compact": {"model": MODEL, "input": BAD},
    "/v1/embeddings": {"model": E5, "input": ["good", BAD]},
    **{path: {"model": RANKER, "query": "good", "documents": ["good", BAD]} for path in RERANK_PATHS},
    "/v1/moderations": {"input": BAD},
}
"""By path, a body that must not pass."""

UNWRITTEN = {"/v1/embeddings", *RERANK_PATHS}
"""Their answers hold no text of a model: vectors, scores, and what the client sent itself."""

KEPT = "items are kept, and looked at when a response is made of them: see test_conversations.py"
RECORDS = "an administrator's names and settings, which no model reads"
LINES = "what is in a file reaches a model as the body of a call, which is covered (test_batches.py)"
EXEMPT = {
    "/v1/messages/count_tokens": "counts what would be sent, and no model reads it",
    "/v1/responses/input_tokens": "counts what would be sent, and no model reads it",
    "/v1/responses/{response_id}/cancel": "takes an id alone",
    "/v1/conversations": KEPT,
    "/v1/conversations/{conversation_id}": KEPT,
    "/v1/conversations/{conversation_id}/items": KEPT,
    "/v1/files": LINES,
    "/v1/batches": LINES,
    "/v1/batches/{batch_id}/cancel": LINES,
    "/v1/organization/projects": RECORDS,
    "/v1/organization/projects/{project_id}": RECORDS,
    "/v1/organization/projects/{project_id}/archive": RECORDS,
    "/v1/organization/projects/{project_id}/api_keys": RECORDS,
    "/v1/organization/projects/{project_id}/api_keys/{key_id}": RECORDS,
    "/v1/organization/projects/{project_id}/api_keys/{key_id}/rotate": RECORDS,
    "/v1/organization/projects/{project_id}/service_accounts": RECORDS,
    "/v1/organization/projects/{project_id}/service_accounts/{account_id}": RECORDS,
    "/v1/organization/projects/{project_id}/service_accounts/{account_id}/api_keys": RECORDS,
    "/v1/organization/projects/{project_id}/rate_limits/{rate_limit_id:path}": RECORDS,
    "/v1/organization/admin_api_keys": RECORDS,
    "/v1/organization/moderation/explain": "shows an administrator what a policy makes of a text",
}
READING = {"GET", "HEAD", "OPTIONS", "DELETE"}


def taking_content(parts: Parts) -> set[str]:
    return {*parts.relays, *(one.path for one in flat(parts.app.routes) if (one.methods or READING) - READING)}


def flat(routes: list[BaseRoute]) -> Iterator[Route]:
    """A kind of route that is not known here cannot be looked at, so it fails."""
    for one in routes:
        router = getattr(one, "original_router", None)
        if router is not None:
            assert not one.include_context.prefix, "the paths of its routes are not whole"  # type: ignore[attr-defined]
            yield from flat(router.routes)
        else:
            assert isinstance(one, Route) or hasattr(one, "methods"), type(one)
            yield one  # type: ignore[misc]


def test_every_route_is_named(shared: Shared) -> None:
    assert not COVERED.keys() & EXEMPT.keys()
    assert taking_content(shared.gate.parts) == COVERED.keys() | EXEMPT.keys()


@pytest.mark.parametrize("stream", [True, False])
async def test_what_answers_is_covered_too(tmp_path: Path, stream: bool) -> None:
    """On every path that asks an engine, whatever shape its answer has."""
    policy = tmp_path / "house.yaml"
    policy.write_text(f"name: h\nversion: 1\nrules: [{{id: r, category: own, literals: [{BAD}], action: block}}]\n")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}) as gate:
        for path in gate.parts.relays.keys() - UNWRITTEN:
            if path == "/v1/responses/compact":
                continue  # what is cut stands for nothing, and is refused: test_compaction.py
            body = json.loads(json.dumps(COVERED[path]).replace(BAD, "hello")) | {"stream": stream}
            engine.plan(answer(Reply(["Well: ", "project lan", "tern it is"])))
            asked = len(engine.calls)
            reply = await gate.request("POST", path, body)
            assert (reply.status, len(engine.calls)) == (200, asked + 1), path
            assert b"Well: " in reply.body and b"project" not in reply.body and b"lantern" not in reply.body, path


@pytest.mark.parametrize("path", COVERED)
async def test_what_is_covered_does_not_pass(path: str, tmp_path: Path) -> None:
    policy = tmp_path / "house.yaml"
    policy.write_text(f"name: h\nversion: 1\nrules: [{{id: r, category: own, literals: [{BAD}], action: block}}]\n")
    async with EngineDouble() as engine, portico(engine, models=MODELS, moderation={"policy": str(policy)}) as gate:
        reply = await gate.request("POST", path, COVERED[path])
        assert not engine.calls
        if path == "/v1/moderations":
            assert reply.json["results"][0]["flagged"]
        elif path == "/v1/messages":
            assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
        else:
            assert reply.error["code"] == "content_filter"
