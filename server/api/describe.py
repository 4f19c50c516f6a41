"""The endpoints with OpenAI's bodies in FastAPI's OpenAPI document, by hand: FastAPI does not read those bodies."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from server.anthropic.request import CountRequest, MessagesRequest
from server.openai.batch_request import BatchRequest
from server.openai.chat_request import ChatRequest, CompletionRequest
from server.openai.moderation_request import ModerationRequest
from server.openai.pooling_request import EmbeddingRequest, RerankRequest
from server.responses.request import CompactRequest, InputTokensRequest, ResponsesRequest

ENDPOINTS = {
    "/v1/chat/completions": ("Create a chat completion", ChatRequest),
    "/v1/completions": ("Create a completion", CompletionRequest),
    "/v1/messages": ("Create a message, in Anthropic's shape", MessagesRequest),
    "/v1/messages/count_tokens": ("Count the tokens of a message", CountRequest),
    "/v1/responses": ("Create a response", ResponsesRequest),
    "/v1/responses/compact": ("Compact a conversation", CompactRequest),
    "/v1/responses/input_tokens": ("Count the tokens of what a response would be made of", InputTokensRequest),
    "/v1/embeddings": ("Create embeddings", EmbeddingRequest),
    "/v1/rerank": ("Order documents by how well they fit a query", RerankRequest),
    "/v1/batches": ("Create a batch", BatchRequest),
    "/v1/moderations": ("Say what the policies of this server find in texts", ModerationRequest),
}


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` list them too."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            shapes = [shape for _, shape in ENDPOINTS.values()]
            (*references,), components = msgspec.json.schema_components(
                shapes, ref_template="#/components/schemas/{name}"
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
            for (path, (summary, shape)), reference in zip(ENDPOINTS.items(), references, strict=True):
                streams = "stream" in shape.__struct_fields__
                document["paths"].setdefault(path, {})["post"] = _operation(summary, reference, streams)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi


def _operation(summary: str, body: dict[str, Any], streams: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer.", "content": {"application/json": {}}}
    if streams:
        answer["description"] = "The answer; server-sent events if `stream` is true."
        answer["content"]["text/event-stream"] = {}
    return {
        "summary": summary,
        "tags": ["inference"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": answer,
            "default": {"description": "An error in OpenAI's shape.", "content": {"application/json": {}}},
        },
    }
