"""Cuts the schemas that the tests need out of OpenAI's API description: `python tools/schemas.py openapi.json`.

Writes tests/data/openai/schemas.json: one JSON Schema (draft 2020-12) document whose `$defs` hold `ROOTS` and all
that they refer to, without prose and examples. What OpenAPI says in its own words (`nullable`, `discriminator`) is
said in JSON Schema's; what the description gets wrong is put right in `patch`, each place with its reason.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

ROOTS = (
    "CreateChatCompletionRequest",
    "CreateChatCompletionResponse",
    "CreateChatCompletionStreamResponse",
    "CreateCompletionRequest",
    "CreateCompletionResponse",
    "CreateCompletionStreamResponse",  # ours, see `patch`
    "Model",
    "ListModelsResponse",
    "Error",
    "ErrorResponse",
    "Project",
    "ProjectListResponse",
    "ProjectApiKey",
    "ProjectApiKeyListResponse",
    "ProjectApiKeyDeleteResponse",
    "ProjectServiceAccount",
    "ProjectServiceAccountListResponse",
    "ProjectServiceAccountCreateResponse",
    "ProjectServiceAccountDeleteResponse",
    "ServiceAccountApiKeyBody",
    "ProjectRateLimit",
    "ProjectRateLimitListResponse",
    "AdminApiKey",
    "AdminApiKeyCreateResponse",
    "ApiKeyList",
    "AuditLog",
    "ListAuditLogsResponse",
    "UsageResponse",
    "UsageCompletionsResult",
    "UsageEmbeddingsResult",
    "CreateEmbeddingRequest",
    "CreateEmbeddingResponse",
    "CostsResult",
    "Response",
    "CompactResource",
    "ResponseStreamEvent",
    "ResponseItemList",
    "TokenCountsResource",
    "ConversationResource",
    "ConversationItem",
    "ConversationItemList",
    "DeletedConversationResource",
    "OpenAIFile",
    "ListFilesResponse",
    "DeleteFileResponse",
    "Batch",
    "ListBatchesResponse",
)
TARGET = Path(__file__).parent.parent / "tests/data/openai/schemas.json"

PREFIX = "#/components/schemas/"
# Words for readers and generators, which decide nothing about validity. `discriminator` only speeds up a oneOf.
PROSE = {"title", "description", "example", "examples", "default", "deprecated", "discriminator", "format"}

Schema = dict[str, Any]


def schema(node: object) -> object:
    """`node`, a schema of OpenAPI, as plain JSON Schema."""
    if not isinstance(node, dict):
        return node  # `additionalProperties: false` is a schema too
    out: Schema = {}
    for word, value in cast("Schema", node).items():
        if word in PROSE or word.startswith("x-") or word == "nullable":
            continue
        if word == "properties":  # names chosen by people, so "title" may be one of them
            out[word] = {name: schema(below) for name, below in value.items()}
        elif word in ("allOf", "anyOf", "oneOf"):
            out[word] = [schema(below) for below in value]
        elif word in ("items", "additionalProperties", "not"):
            out[word] = schema(value)
        elif word == "$ref":
            out[word] = "#/$defs/" + value.removeprefix(PREFIX)
        else:
            out[word] = value
    return or_null(out) if cast("Schema", node).get("nullable") else out


def or_null(plain: Schema) -> Schema:
    """Allow null as well, which OpenAPI 3.0 writes as `nullable: true`, a word that JSON Schema does not know."""
    if set(plain) == {"type"} and isinstance(plain["type"], str):
        return {"type": [plain["type"], "null"]}
    return {"anyOf": [plain, {"type": "null"}]}


def patch(schemas: Schema) -> None:
    """Put right, in place, what the description says otherwise than OpenAI's own service does."""
    completion = schemas["CreateCompletionResponse"]
    logprobs = completion["properties"]["choices"]["items"]["properties"]["logprobs"]["anyOf"][0]["properties"]
    # The first token of an echoed prompt has no predecessor: its logprob and alternatives are null.
    for name in ("token_logprobs", "top_logprobs"):
        logprobs[name]["items"] = or_null(logprobs[name]["items"])

    # The description has one schema for a whole completion and for a chunk of a stream. A chunk in mid-stream has
    # finish_reason null, and usage null where include_usage was asked; a whole one must not, so they are told apart.
    chunk = copy.deepcopy(completion)
    for holder, name in ((chunk["properties"]["choices"]["items"], "finish_reason"), (chunk, "usage")):
        holder["properties"][name] = or_null(holder["properties"][name])
    schemas["CreateCompletionStreamResponse"] = chunk

    # One names itself in the words of an older draft.
    for name, node in schemas.items():
        if node.pop("$recursiveAnchor", False):
            one_of = node["properties"]["filters"]["items"]["oneOf"]
            one_of[one_of.index({"$recursiveRef": "#"})] = {"$ref": f"#/$defs/{name}"}


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for word, value in cast("Schema", node).items():
            if word == "$ref" and isinstance(value, str):
                yield value.removeprefix("#/$defs/")
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in cast("list[object]", node):
            yield from references(value)


def extract(description: Schema, roots: tuple[str, ...] = ROOTS) -> Schema:
    """`roots` and all that they refer to, as one document. Raises KeyError for a name that is not described."""
    schemas = {name: schema(node) for name, node in description["components"]["schemas"].items()}
    patch(schemas)
    chosen: Schema = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen[name] = schemas[name]
            waiting.extend(references(schemas[name]))
    info = description["info"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"{info['title']} {info['version']}, {info['license']['name']}; made by tools/schemas.py",
        "$defs": dict(sorted(chosen.items())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Cut the schemas that the tests need out of OpenAI's description.")
    parser.add_argument("description", type=Path, help="OpenAI's OpenAPI description, as JSON")
    description = json.loads(parser.parse_args().description.read_text(encoding="utf-8"))
    TARGET.write_text(json.dumps(extract(description), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
