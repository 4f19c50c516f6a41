"""What an engine is asked, from any request that passes the gate."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.call import Call, Key, Project, ServedModel
from server.config import Model
from server.engines.requests import engine_request, streams_from_engine
from server.openai.parse import CHAT, COMPLETION, parse

USER = {"role": "user", "content": "a"}
TOOL = {"type": "function", "function": {"name": "f"}}


def call(body: dict[str, Any], **model: Any) -> Call:
    served = ServedModel("m", Model(engines=("e",), **model), 1)
    chat = "prompt" not in body
    base = {"model": "m", **({"messages": [USER]} if chat else {})}
    data = json.dumps(base | body).encode()
    request = parse(CHAT, data, 64) if chat else parse(COMPLETION, data, 64)
    stream = bool(request.stream)
    return Call(
        "r",
        "chat.completions",
        Key("key_1", "k", Project("proj_1", "one")),
        served,
        request,
        stream=stream,
        include_usage=False,
    )


def sent(body: dict[str, Any], **model: Any) -> dict[str, Any]:
    one = call(body, **model)
    return json.loads(engine_request(one, streams=streams_from_engine(one)))


@pytest.mark.parametrize(
    ("body", "streams"),
    [
        ({}, False),
        ({"stream": True}, True),
        ({"stop": "x"}, True),
        ({"tools": [TOOL]}, True),
        ({"stream": False}, False),
    ],
)
def test_when_a_stream_is_asked_for(body: dict[str, Any], streams: bool) -> None:
    assert streams_from_engine(call(body)) is streams
    assert sent(body).get("stream", False) is streams
    assert bool(sent(body).get("stream_options")) is streams


def test_usage_always_known_where_the_gateway_may_end_the_stream() -> None:
    assert sent({"stop": "x"})["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert sent({"stream": True, "stream_options": {"include_usage": False}})["stream_options"]["include_usage"] is True


def test_the_three_ways_to_bound_an_answer() -> None:
    assert "max_tokens" not in sent({})
    assert sent({}, defaults={"max_tokens": 9})["max_tokens"] == 9
    assert sent({"max_tokens": 5}, defaults={"max_tokens": 9})["max_tokens"] == 5
    assert sent({"max_completion_tokens": 7}, defaults={"max_tokens": 9})["max_tokens"] == 7


def test_zeros_are_values() -> None:
    body = {"temperature": 0, "seed": 0, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}}
    assert {name: sent(body)[name] for name in body} == body
    assert sent({"temperature": 0}, defaults={"temperature": 1})["temperature"] == 0
    assert sent({"prompt": "a", "echo": True, "max_tokens": 0}, defaults={"max_tokens": 9})["max_tokens"] == 0


def test_a_schema_passes_as_it_is() -> None:
    schema = {"type": "object", "properties": {"städte": {"enum": [1, None, "x"], "x-own": {"deep": []}}}, "$defs": {}}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}
    assert sent({"response_format": wanted})["response_format"] == wanted
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert sent({"tools": [tool]})["tools"] == [tool]


TEXT, REFUSAL = {"type": "text", "text": "b"}, {"type": "refusal", "refusal": "no"}


@pytest.mark.parametrize(
    ("said", "content"),
    [
        ({"content": [{"type": "text", "text": ""}, TEXT, TEXT]}, "bb"),
        ({"content": [REFUSAL]}, "no"),
        ({"content": [TEXT, REFUSAL]}, "bno"),
        ({"content": None, "refusal": "no"}, "no"),
        ({"content": "", "refusal": "no"}, "no"),
        ({"content": "b", "refusal": None}, "b"),
        ({"content": ""}, ""),
        ({"content": None}, None),
    ],
)
def test_what_the_assistant_said_reaches_the_model_in_any_form(said: dict[str, Any], content: str | None) -> None:
    (message,) = sent({"messages": [{"role": "assistant", **said}]})["messages"]
    assert message == {"role": "assistant"} | ({} if content is None else {"content": content})
