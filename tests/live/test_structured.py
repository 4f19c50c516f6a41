"""Structured output on the real engine: the grammar holds, and the SDK parses what comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from jsonschema import validate
from pydantic import BaseModel

from tests.live.conftest import MODEL

GREEDY: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": 400}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "city": {"enum": ["Paris", "Rome"]}},
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}


class Person(BaseModel):
    name: str
    age: int


def ask(client: openai.OpenAI, prompt: str, kind: dict[str, Any], **options: Any) -> Any:
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(**{**GREEDY, "messages": messages, "response_format": kind, **options})


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def test_parse(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Describe a person."}]
    answer = client.chat.completions.parse(**GREEDY, messages=messages, response_format=Person)
    message = answer.choices[0].message
    assert isinstance(message.parsed, Person)
    assert message.parsed.name
    assert answer.choices[0].finish_reason == "stop"
    assert message.tool_calls is None


def test_parse_asynchronous_and_streamed(aclient: Callable[[], openai.AsyncOpenAI]) -> None:
    async def run() -> None:
        messages: Any = [{"role": "user", "content": "Describe a person."}]
        async with (
            aclient() as client,
            client.chat.completions.stream(**GREEDY, messages=messages, response_format=Person) as stream,
        ):
            final = await stream.get_final_completion()
        assert isinstance(final.choices[0].message.parsed, Person)

    asyncio.run(run())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["Describe a person.", "Hello", "描述一个人。"])
def test_the_schema_holds(client: openai.OpenAI, prompt: str, stream: bool) -> None:
    answer = ask(client, prompt, schema_format(SCHEMA), stream=stream)
    if stream:
        chunks = list(answer)
        content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert not any(chunk.choices[0].delta.tool_calls for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        assert answer.choices[0].finish_reason == "stop"
        content = answer.choices[0].message.content
    validate(json.loads(content), SCHEMA)


@pytest.mark.parametrize("stream", [False, True])
def test_json_object(client: openai.OpenAI, stream: bool) -> None:
    answer = ask(client, "Return JSON with the keys name and age.", {"type": "json_object"}, stream=stream)
    if stream:
        content = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        content = answer.choices[0].message.content
    assert isinstance(json.loads(content), dict)


def test_text_format_is_plain(client: openai.OpenAI) -> None:
    answer = ask(client, "What is the capital of France?", {"type": "text"})
    assert answer.choices[0].message.content == "The capital of France is Paris."


def test_logprobs_of_a_structured_answer(client: openai.OpenAI) -> None:
    choice = ask(client, "Describe a person.", schema_format(SCHEMA), logprobs=True).choices[0]
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_that_is_none(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "Hello", schema_format({"type": "nonsense"}), stream=stream)
    assert caught.value.code == "invalid_value"
    assert caught.value.param == "response_format"
