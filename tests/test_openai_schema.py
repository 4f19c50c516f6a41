"""OpenAI's schemas accept what its API answers and refuse what it does not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.openai_schema import SCHEMAS, validator
from tools.schemas import ROOTS, extract, references

Sample = dict[str, Any]
Edit = Callable[[Sample], object]

USAGE: Sample = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
ANSWER: Sample = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-oss-20b",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Four.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
CHUNK: Sample = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1_700_000_000,
    "model": "gpt-oss-20b",
    "choices": [{"index": 0, "delta": {"content": "Fo"}, "finish_reason": None}],
}
COMPLETION: Sample = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1_700_000_000,
    "model": "gpt-oss-20b",
    "choices": [{"index": 0, "text": "Four.", "logprobs": None, "finish_reason": "stop"}],
    "usage": USAGE,
}
REQUEST: Sample = {"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "2 + 2?"}]}
CALL: Sample = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
ERROR: Sample = {"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}}
MODEL: Sample = {"id": "gpt-oss-20b", "object": "model", "created": 1, "owned_by": "openai"}


def edited(sample: Sample, edit: Edit) -> Sample:
    fresh = copy.deepcopy(sample)
    edit(fresh)
    return fresh


def choice(**values: object) -> Edit:
    return lambda sample: sample["choices"][0].update(values)


def inner(part: str, **values: object) -> Edit:
    return lambda sample: sample["choices"][0][part].update(values)


GOOD: list[tuple[str, Sample]] = [
    ("CreateChatCompletionResponse", ANSWER),
    ("CreateChatCompletionResponse", edited(ANSWER, inner("message", content=None, tool_calls=[CALL]))),
    # What Portico adds for reasoning models.
    ("CreateChatCompletionResponse", edited(ANSWER, inner("message", reasoning="2+2", reasoning_content="2+2"))),
    ("CreateChatCompletionStreamResponse", CHUNK),
    ("CreateChatCompletionStreamResponse", edited(CHUNK, inner("delta", reasoning="so", reasoning_content="so"))),
    ("CreateChatCompletionStreamResponse", edited(CHUNK, choice(delta={}, logprobs=None, finish_reason="stop"))),
    ("CreateChatCompletionStreamResponse", {**CHUNK, "usage": None}),
    ("CreateChatCompletionStreamResponse", {**CHUNK, "choices": [], "usage": USAGE}),
    ("CreateCompletionResponse", COMPLETION),
    ("CreateCompletionStreamResponse", edited(COMPLETION, choice(finish_reason=None)) | {"usage": None}),
    (
        "CreateCompletionResponse",
        edited(COMPLETION, choice(logprobs={"tokens": ["a"], "token_logprobs": [None], "top_logprobs": [None]})),
    ),
    ("CreateChatCompletionRequest", REQUEST),
    ("CreateChatCompletionRequest", {**REQUEST, "stop": None, "temperature": None, "stream_options": None}),
    ("CreateCompletionRequest", {"model": "gpt-oss-20b", "prompt": ["a", "b"], "max_tokens": None}),
    ("ErrorResponse", ERROR),
    ("ListModelsResponse", {"object": "list", "data": [MODEL]}),
]

BAD: list[tuple[str, Sample, str]] = [
    ("CreateChatCompletionResponse", {**ANSWER, "object": "chat.completion.chunk"}, "$.object"),
    ("CreateChatCompletionResponse", {**ANSWER, "usage": {"prompt_tokens": 9}}, "$.usage"),
    # vLLM's own: null where OpenAI leaves the key out.
    (
        "CreateChatCompletionResponse",
        {**ANSWER, "usage": {**USAGE, "prompt_tokens_details": None}},
        "prompt_tokens_details",
    ),
    ("CreateChatCompletionResponse", edited(ANSWER, choice(finish_reason=None)), "$.choices[0].finish_reason"),
    ("CreateChatCompletionResponse", edited(ANSWER, lambda s: s["choices"][0]["message"].pop("refusal")), "'refusal'"),
    ("CreateChatCompletionResponse", edited(ANSWER, inner("message", tool_calls=[{**CALL, "id": 1}])), "tool_calls[0]"),
    (
        "CreateChatCompletionStreamResponse",
        edited(CHUNK, lambda s: s["choices"][0].pop("finish_reason")),
        "finish_reason",
    ),
    ("CreateChatCompletionStreamResponse", edited(CHUNK, choice(finish_reason="abort")), "$.choices[0].finish_reason"),
    ("CreateChatCompletionStreamResponse", edited(CHUNK, inner("delta", tool_calls=[{"id": "x"}])), "'index'"),
    ("CreateCompletionResponse", edited(COMPLETION, choice(finish_reason=None)), "$.choices[0].finish_reason"),
    ("CreateCompletionResponse", {**COMPLETION, "usage": None}, "$.usage"),
    ("CreateChatCompletionRequest", {**REQUEST, "messages": []}, "$.messages"),
    ("CreateChatCompletionRequest", {**REQUEST, "n": 0}, "$.n"),
    ("ErrorResponse", {"error": {"message": "No.", "type": "x", "param": None, "code": 400}}, "$.error.code"),
    ("ErrorResponse", {"detail": "Not Found"}, "'error'"),
    ("ListModelsResponse", {"object": "list", "data": [{**MODEL, "created": "now"}]}, "$.data[0].created"),
]


@pytest.mark.parametrize(("name", "sample"), GOOD)
def test_what_openai_answers_passes(name: str, sample: Sample) -> None:
    validator(name)(sample)


@pytest.mark.parametrize(("name", "sample", "place"), BAD)
def test_what_it_does_not_is_refused_with_the_place(name: str, sample: Sample, place: str) -> None:
    with pytest.raises(AssertionError) as caught:
        validator(name)(sample)
    assert str(caught.value).startswith(f"{name}: $")
    assert place in str(caught.value)


def test_a_validator_is_made_once_and_unknown_names_are_refused() -> None:
    assert validator("Model") is validator("Model")
    with pytest.raises(KeyError):
        validator("Modell")


def test_the_extract_is_whole_and_valid_json_schema() -> None:
    document = json.loads(SCHEMAS.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    names = set(document["$defs"])
    assert set(ROOTS) <= names
    assert set(references(document)) <= names


def test_openapis_own_words_become_json_schemas() -> None:
    completion = {
        "properties": {
            "choices": {
                "items": {
                    "properties": {
                        "logprobs": {
                            "anyOf": [
                                {
                                    "properties": {
                                        "token_logprobs": {"items": {"type": "number"}},
                                        "top_logprobs": {"items": {"type": "object"}},
                                    }
                                }
                            ]
                        },
                        "finish_reason": {"type": "string"},
                    }
                }
            },
            "usage": {"type": "object"},
        }
    }
    mine = {
        "type": "object",
        "description": "Prose.",
        "x-oaiMeta": {},
        "properties": {
            "title": {"type": "string", "nullable": True, "title": "A title", "example": "x"},
            "kind": {"type": "string", "enum": ["a"], "nullable": True},
            "other": {"$ref": "#/components/schemas/Other", "nullable": True},
        },
    }
    description = {
        "info": {"title": "T", "version": "1", "license": {"name": "MIT"}},
        "components": {
            "schemas": {
                "Mine": mine,
                "Other": {"type": "integer"},
                "Unused": {},
                "CreateCompletionResponse": completion,
            }
        },
    }
    null = {"type": "null"}
    assert extract(description, ("Mine",))["$defs"] == {
        "Mine": {
            "type": "object",
            "properties": {
                "title": {"type": ["string", "null"]},
                "kind": {"anyOf": [{"type": "string", "enum": ["a"]}, null]},
                "other": {"anyOf": [{"$ref": "#/$defs/Other"}, null]},
            },
        },
        "Other": {"type": "integer"},
    }
