"""The relay endpoints in FastAPI's OpenAPI document. They are not FastAPI routes, so they are described by hand."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from server.openai.chat_request import ChatRequest, CompletionRequest

ENDPOINTS = {
    "/v1/chat/completions": ("Create a chat completion", ChatRequest),
    "/v1/completions": ("Create a completion", CompletionRequest),
}


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` list the relay endpoints too."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            shapes = [shape for _, shape in ENDPOINTS.values()]
            (*references,), components = msgspec.json.schema_components(
                shapes, ref_template="#/components/schemas/{name}"
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
            for (path, (summary, _)), reference in zip(ENDPOINTS.items(), references, strict=True):
                document["paths"][path] = {"post": _operation(summary, reference)}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi


def _operation(summary: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "tags": ["inference"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "The answer; server-sent events if `stream` is true.",
                "content": {"application/json": {}, "text/event-stream": {}},
            },
            "default": {"description": "An error in OpenAI's shape.", "content": {"application/json": {}}},
        },
    }
