"""Engines that serve models for embeddings and rerank, in the shapes of vLLM 0.32."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

from tests.behaviour.engine_double import Exchange, Script

EMBEDDINGS, RERANK = "/v1/embeddings", "/v1/rerank"
E5, RANKER = "e5", "ranker"
MODELS: dict[str, Any] = {
    "gpt-oss-20b": {"engines": ["one"], "context_length": 4096},
    E5: {"engines": ["one"], "engine_model": "/weights/e5", "serves": ["embeddings"], "context_length": 512},
    RANKER: {"engines": ["one"], "engine_model": "/weights/ranker", "serves": ["rerank"], "context_length": 512},
}
PROMPT_TOKENS = 11


def inputs_of(body: dict[str, Any]) -> list[Any]:
    asked = body["input"]
    return [asked] if isinstance(asked, str) or isinstance(asked[0], int) else asked


def vector_of(one: Any, dimensions: int) -> list[float]:
    """A short one of its own for each input: its length, and then numbers that floats of 32 bits hold exactly."""
    return [float(len(one)), *[0.125] * (dimensions - 1)]


def vectors(dimensions: int = 4, **more: Any) -> Script:
    """As vLLM answers /v1/embeddings. `more` takes the place of fields of the answer."""

    async def script(exchange: Exchange) -> None:
        body = exchange.call.json
        data: list[dict[str, Any]] = []
        for index, one in enumerate(inputs_of(body)):
            plain: Any = vector_of(one, body.get("dimensions", dimensions))
            if body.get("encoding_format") == "base64":
                plain = base64.b64encode(struct.pack(f"<{len(plain)}f", *plain)).decode()
            data.append({"index": index, "object": "embedding", "embedding": plain})
        usage = {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS, "completion_tokens": 0}
        answer = {"id": "embd-internal", "object": "list", "created": 5, "model": body["model"], "data": data}
        await exchange.whole(200, json.dumps(answer | {"usage": usage} | more, separators=(",", ":")).encode())

    return script


def ranking(*scores: float) -> Script:
    """As vLLM answers /v1/rerank: it tells all documents, whatever it is asked for."""

    async def script(exchange: Exchange) -> None:
        body = exchange.call.json
        results = [
            {"index": index, "document": {"text": text, "multi_modal": None}, "relevance_score": score}
            for index, (text, score) in enumerate(zip(body["documents"], scores, strict=True))
        ]
        results.sort(key=lambda one: -one["relevance_score"])
        usage = {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS}
        answer = {"id": "rerank-internal", "model": body["model"], "usage": usage, "results": results}
        await exchange.whole(200, json.dumps(answer).encode())

    return script
