"""Responses on the real engine, through the official SDK."""

from __future__ import annotations

import time
from typing import Any

from openai import OpenAI
from pydantic import BaseModel

from tests.live.conftest import MODEL

PARIS = "What is the capital of France?"


class Person(BaseModel):
    name: str
    age: int


WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def test_the_prompt_is_counted_as_the_engine_counts_it(client: OpenAI) -> None:
    request: Any = {"model": MODEL, "input": PARIS, "instructions": "Be brief. 请简短。", "tools": [WEATHER]}
    counted = client.responses.input_tokens.count(**request)
    response = client.responses.create(**request, max_output_tokens=300)
    assert response.usage is not None
    assert counted.input_tokens == response.usage.input_tokens
    further: Any = request | {"input": "And of Italy?", "previous_response_id": response.id}
    counted = client.responses.input_tokens.count(**further)
    usage = client.responses.create(**further, max_output_tokens=300).usage
    assert usage is not None
    assert counted.input_tokens == usage.input_tokens


def test_a_stream(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input=PARIS, max_output_tokens=400) as events:
        names = [event.type for event in events]
        response = events.get_final_response()
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert (response.status, names[0], names[-1]) == ("completed", "response.created", "response.completed")
    assert client.responses.retrieve(response.id).output_text == response.output_text


def test_a_stream_that_is_cut_says_so(client: OpenAI) -> None:
    """Where vLLM's own says that it is complete."""
    with client.responses.stream(model=MODEL, input=PARIS, max_output_tokens=3) as events:
        names = [event.type for event in events]
    assert names[-1] == "response.incomplete"


def test_a_loop_with_a_tool_over_stored_turns(client: OpenAI) -> None:
    request: Any = {"model": MODEL, "tools": [WEATHER], "max_output_tokens": 400, "temperature": 0}
    asked = client.responses.create(input="What is the weather in Paris?", **request)
    call = asked.output[-1]
    assert call.type == "function_call"
    assert (call.name, call.arguments.replace(" ", "")) == ("get_weather", '{"city":"Paris"}')
    result: Any = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": '{"temperature": 21, "sky": "sunny"}',
    }
    told = client.responses.create(input=[result], previous_response_id=asked.id, **request)
    assert told.status == "completed"
    assert "21" in told.output_text


def test_one_in_the_background(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=PARIS, background=True, max_output_tokens=400)
    assert response.status == "queued"
    deadline = time.monotonic() + 30
    while response.status in ("queued", "in_progress") and time.monotonic() < deadline:
        time.sleep(0.2)
        response = client.responses.retrieve(response.id)
    assert response.status == "completed"
    events = client.responses.retrieve(response.id, stream=True, starting_after=2)
    assert [event.type for event in events][-1] == "response.completed"


def test_a_conversation_goes_on(client: OpenAI) -> None:
    conversation = client.conversations.create(metadata={"topic": "capitals"})
    asked: Any = {"model": MODEL, "conversation": conversation.id, "max_output_tokens": 400, "temperature": 0}
    first = client.responses.create(input=PARIS, **asked)
    second = client.responses.create(input="And of Italy?", **asked)
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens
    kinds = [item.type for item in client.conversations.items.list(conversation.id, order="asc")]
    assert kinds == ["message", "reasoning", "message", "message", "reasoning", "message"]
    assert client.conversations.delete(conversation.id).deleted


def test_an_answer_in_a_schema_is_parsed(client: OpenAI) -> None:
    response = client.responses.parse(
        model=MODEL, input="Describe a person.", text_format=Person, max_output_tokens=300, temperature=0
    )
    assert response.output_parsed is not None
    assert isinstance(response.output_parsed.age, int)
