"""The OpenAPI document describes the relay endpoints although they are not FastAPI's."""

from __future__ import annotations

from tests.behaviour.conftest import Shared


def test_described(shared: Shared) -> None:
    document = shared.request("GET", "/openapi.json", key=None).json
    assert {"/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{model_id}"} <= set(document["paths"])
    schema = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
    assert {"messages", "tools", "reasoning_effort"} <= set(fields)
    assert "priority" not in fields
