"""How engines are asked for vectors and scores, and by what their answers are read."""

from __future__ import annotations

from functools import partial

import msgspec

from server.call import Call
from server.engines.makes.make import Make
from server.engines.requests import PRIORITIES
from server.openai.chat_request import Strict
from server.openai.chunks import Usage
from server.openai.pooling_answer import Base64Reader, EmbeddingReader, RerankReader
from server.openai.pooling_request import EmbeddingRequest, RerankRequest

_ENCODE = msgspec.json.Encoder().encode
PoolingReader = EmbeddingReader | Base64Reader | RerankReader


class _EngineFields(Strict, kw_only=True):
    model: str | None = None
    priority: int | None = None
    cache_salt: str | None = None


class _Embedding(_EngineFields, kw_only=True):
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


class _Rerank(_EngineFields, kw_only=True):
    query: str
    documents: list[str]
    top_n: int | None = None


def pooling_request(call: Call, make: Make, *, vllm: bool = False) -> bytes:
    """The JSON for an engine of a make; with what only `vllm` knows."""
    body: EmbeddingRequest | RerankRequest = call.body
    asked: _Embedding | _Rerank
    if isinstance(body, EmbeddingRequest):
        asked = _Embedding(input=body.input, dimensions=body.dimensions, encoding_format=body.encoding_format)
    else:
        asked = _Rerank(query=body.query, documents=body.texts, top_n=None if make.bare_rerank else body.top_n)
    if not (isinstance(asked, _Rerank) and make.bare_rerank):
        asked.model = call.model.engine_name
    if vllm:
        asked.priority = PRIORITIES[call.priority]
        asked.cache_salt = call.cache_salt
    return _ENCODE(asked)


def pooling_reader(call: Call, *, vllm: bool) -> PoolingReader:
    """For the answer of an engine; base64 is only trusted to vLLM."""
    body: EmbeddingRequest | RerankRequest = call.body
    counted = partial(_counted, call)
    if isinstance(body, EmbeddingRequest):
        mended = body.encoding_format == "base64" and not vllm
        return (Base64Reader if mended else EmbeddingReader)(call.model.id, counted)
    documents = None if body.return_documents is False else body.texts
    return RerankReader(call.id, call.model.id, counted, len(body.documents), body.top_n, documents)


def _counted(call: Call, told: int) -> Usage:
    """The engine's count; where it has none, the gateway's estimate, which says so."""
    call.estimated = not told
    return Usage(told or call.prompt, estimated=call.estimated)
