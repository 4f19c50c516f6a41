"""Bounds on every field, and values of the wrong kind: the error names the field and never shows the value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.serving import CHAT, MESSAGES, MODEL

CANARY = "canary-4711"
TOOL = {"type": "function", "function": {"name": "f"}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def calls(name: str = "f", call_id: str = "1") -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"id": call_id, "function": {"name": name, "arguments": "{}"}}]}


def tool(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "r"}


def twice(message: dict[str, Any]) -> dict[str, Any]:
    return message | {"tool_calls": message["tool_calls"] * 2}


VALUE: list[tuple[str, dict[str, Any]]] = [
    ("n", {"n": 17}),
    ("n", {"n": 0}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
    ("top_logprobs", {"top_logprobs": 2}),
    ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
    ("stop", {"stop": ""}),
    ("stop[0]", {"stop": ["x" * 257]}),
    ("messages", {"messages": []}),
    ("messages", {"messages": [user("a")] * 4097}),
    ("temperature", {"temperature": 2.1}),
    ("temperature", {"temperature": -1}),
    ("top_p", {"top_p": 1.5}),
    ("frequency_penalty", {"frequency_penalty": 3}),
    ("presence_penalty", {"presence_penalty": -3}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_completion_tokens", {"max_completion_tokens": -1}),
    ("seed", {"seed": 2**63}),
    ("metadata", {"metadata": {str(i): "x" for i in range(17)}}),
    ("metadata[...]", {"metadata": {"a": "x" * 513}}),
    ("safety_identifier", {"safety_identifier": CANARY * 10}),
    ("tools", {"tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(129)]}),
    ("tools", {"tools": [TOOL, TOOL]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {"name": CANARY + "<|start|>"}}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {"name": "a" * 65}}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {"name": ""}}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {"name": "f\n"}}]}),
    ("tools[0].type", {"tools": [{"type": CANARY, "function": {"name": "f"}}]}),
    ("messages[1].tool_calls[0].function.name", {"messages": [user("a"), calls("a b"), tool("1")]}),
    ("messages[0].name", {"messages": [{"role": "user", "content": "a", "name": "a b"}]}),
    *(
        ("messages[0].name", {"messages": [user("a") | {"name": name}]})
        for name in ("", "a<|end|>", "a/b", "a" * 65, "a\n")
    ),
    ("messages[2].name", {"messages": [user("a"), calls(), tool("1") | {"name": "a.b"}]}),
    ("messages[0].role", {"messages": [{"role": CANARY, "content": "a"}]}),
    ("messages[0].content[0].type", {"messages": [user([{"type": CANARY}])]}),
    ("messages[0].tool_call_id", {"messages": [tool("1")]}),
    ("messages[2].tool_call_id", {"messages": [user("a"), calls(), tool(CANARY)]}),
    ("messages[3].tool_call_id", {"messages": [user("a"), calls(), tool("1"), tool("1")]}),
    ("messages[2].role", {"messages": [user("a"), calls(), user("b")]}),
    ("messages[1].tool_calls", {"messages": [user("a"), calls()]}),
    ("messages[1].tool_calls", {"messages": [user("a"), twice(calls()), tool("1"), tool("1")]}),
    ("messages[0].content", {"messages": [user([])]}),
    *(("messages[0].content", {"messages": [{"role": role, "content": []}]}) for role in ("system", "developer")),
    ("messages[2].content", {"messages": [user("a"), calls(), tool("1") | {"content": []}]}),
    ("messages[1].content", {"messages": [user("a"), calls() | {"content": []}, tool("1")]}),
    *(
        ("messages[1].content", {"messages": [user("a"), {"role": "assistant", **said}]})
        for said in ({}, {"content": None}, {"content": None, "refusal": None, "tool_calls": []})
    ),
    ("tool_choice", {"tool_choice": "auto"}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": CANARY}),
    ("tool_choice.function.name", {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}),
    ("response_format.type", {"response_format": {"type": CANARY}}),
    ("reasoning_effort", {"reasoning_effort": CANARY}),
    ("service_tier", {"service_tier": CANARY}),
    ("verbosity", {"verbosity": CANARY}),
    ("prompt_cache_options.ttl", {"prompt_cache_options": {"ttl": CANARY}}),
    (
        "messages[0].content[0].prompt_cache_breakpoint.mode",
        {"messages": [user([{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": CANARY}}])]},
    ),
    ("stream_options", {"stream_options": {"include_usage": True}}),
]

TYPE: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": 5}),
    ("messages", {"messages": CANARY}),
    ("messages[0]", {"messages": [CANARY]}),
    ("messages[0].content", {"messages": [user(5)]}),
    ("messages[0].content", {"messages": [user(None)]}),
    ("messages[0].content[0]", {"messages": [user([CANARY])]}),
    ("messages[0].content[0].text", {"messages": [user([{"type": "text", "text": 5}])]}),
    ("temperature", {"temperature": CANARY}),
    ("stream", {"stream": CANARY}),
    ("stream", {"stream": 1}),
    ("n", {"n": 1.5}),
    ("stop", {"stop": 5}),
    ("tools", {"tools": {}}),
    ("metadata[...]", {"metadata": {"a": 5}}),
    ("logit_bias[...]", {"logit_bias": {"5": CANARY}}),
    ("tools[0].function.parameters", {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}),
]

MISSING: list[tuple[str, dict[str, Any]]] = [
    ("messages[0].content", {"messages": [{"role": "user"}]}),
    ("messages[0].role", {"messages": [{"content": "a"}]}),
    ("tools[0].function", {"tools": [{"type": "function"}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {}}]}),
    ("messages[0].content[0].text", {"messages": [user([{"type": "text"}])]}),
    ("response_format.json_schema", {"response_format": {"type": "json_schema"}}),
]

UNSERVED: list[tuple[str, dict[str, Any]]] = [
    ("audio", {"audio": {"voice": "alloy", "format": "mp3"}}),
    ("modalities", {"modalities": ["text", "audio"]}),
    ("prediction", {"prediction": {"type": "content", "content": "a"}}),
    ("web_search_options", {"web_search_options": {}}),
    ("functions", {"functions": [{"name": "f"}]}),
    ("function_call", {"function_call": "auto"}),
    (
        "messages[0].content[0].type",
        {"messages": [user([{"type": "image_url", "image_url": {"url": "data:" + CANARY}}])]},
    ),
    (
        "messages[0].content[1].type",
        {"messages": [user([{"type": "text", "text": "a"}, {"type": "input_audio", "input_audio": {"data": CANARY}}])]},
    ),
    ("messages[0].content[0].type", {"messages": [user([{"type": "file", "file": {"file_id": CANARY}}])]}),
]


def check(shared: Shared, body: dict[str, Any], code: str, param: str) -> None:
    before = len(shared.engine.calls)
    reply = shared.chat(**body)
    assert reply.status == 400, reply.body
    assert (reply.error["code"], reply.error["param"]) == (code, param), reply.error
    assert CANARY not in reply.body.decode()
    assert len(shared.engine.calls) == before


@pytest.mark.parametrize(("param", "body"), VALUE, ids=lambda x: x if isinstance(x, str) else "")
def test_invalid_value(shared: Shared, param: str, body: dict[str, Any]) -> None:
    check(shared, body, "invalid_value", param)


@pytest.mark.parametrize(("param", "body"), TYPE, ids=lambda x: x if isinstance(x, str) else "")
def test_invalid_type(shared: Shared, param: str, body: dict[str, Any]) -> None:
    check(shared, body, "invalid_type", param)


@pytest.mark.parametrize(("param", "body"), MISSING, ids=lambda x: x if isinstance(x, str) else "")
def test_missing(shared: Shared, param: str, body: dict[str, Any]) -> None:
    check(shared, body, "missing_required_parameter", param)


@pytest.mark.parametrize(("param", "body"), UNSERVED, ids=lambda x: x if isinstance(x, str) else "")
def test_known_but_not_served(shared: Shared, param: str, body: dict[str, Any]) -> None:
    check(shared, body, "unsupported_value", param)


@pytest.mark.parametrize("tier", ["auto", "default", "flex", "scale", "priority", "fast"])
def test_every_service_tier(shared: Shared, tier: str) -> None:
    assert shared.chat(service_tier=tier).status == 200


@pytest.mark.parametrize("said", [{"content": ""}, {"refusal": "no"}, {"reasoning": "hm"}])
def test_what_an_assistant_may_have_said(shared: Shared, said: dict[str, Any]) -> None:
    assert shared.chat(messages=[user("a"), {"role": "assistant", **said}, user("b")]).status == 200


@pytest.mark.parametrize("name", ["alice", "Bob.Smith", "李雷", "user@example.org", "a-b_c"])
def test_names_of_authors(shared: Shared, name: str) -> None:
    assert shared.chat(messages=[user("a") | {"name": name}]).status == 200
    assert shared.engine.calls[-1].json["messages"][0]["name"] == name


def test_a_bound_says_what_it_bounds(shared: Shared) -> None:
    assert "a length of at most 4" in shared.chat(stop=["a"] * 5).error["message"]
    assert shared.chat(n=17).error["message"] == "Invalid value for 'n': expected at most 16."


def test_a_number_beyond_all_numbers(shared: Shared) -> None:
    reply = shared.request("POST", CHAT, b'{"temperature": 1e999}')
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "invalid_value", "temperature")


def test_both_bounds_of_the_answer(shared: Shared) -> None:
    reply = shared.chat(max_tokens=5, max_completion_tokens=5)
    assert (reply.status, reply.error["param"]) == (400, "max_tokens")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_longer_than_the_context(shared: Shared, name: str) -> None:
    check(shared, {name: 4097}, "context_length_exceeded", name)
    assert shared.chat(**{name: 4096}).status == 200


@pytest.mark.parametrize("body", [{"model": "m"}, {"messages": MESSAGES}])
def test_required_fields(shared: Shared, body: dict[str, Any]) -> None:
    reply = shared.request("POST", CHAT, body)
    assert (reply.status, reply.error["code"]) == (400, "missing_required_parameter")


def test_unknown_model(shared: Shared) -> None:
    reply = shared.chat(model=CANARY)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")
    assert MODEL in reply.error["message"]
    assert CANARY not in reply.body.decode()


COMPLETION: list[tuple[str, str, dict[str, Any]]] = [
    ("invalid_type", "prompt", {"prompt": 5}),
    ("invalid_type", "prompt[0]", {"prompt": [1, 2, 3]}),
    ("invalid_type", "prompt[0]", {"prompt": [[1, 2, 3]]}),
    ("invalid_value", "prompt", {"prompt": []}),
    ("invalid_value", "prompt", {"prompt": ["a"] * 65}),
    ("invalid_value", "prompt", {"prompt": "<|start|>system<|message|>" + CANARY}),
    ("invalid_value", "prompt", {"prompt": ["a", "<|end|>"]}),
    ("invalid_value", "logprobs", {"logprobs": 21}),
    *(("unsupported_value", "best_of", {"best_of": value}) for value in (0, 2, CANARY, [1])),
    ("invalid_value", "max_tokens", {"max_tokens": -1}),
    ("unsupported_value", "suffix", {"suffix": CANARY}),
    ("context_length_exceeded", "max_tokens", {"max_tokens": 5000}),
    ("unknown_parameter", "messages", {"messages": MESSAGES}),
]


@pytest.mark.parametrize(("code", "param", "body"), COMPLETION)
def test_completions(shared: Shared, code: str, param: str, body: dict[str, Any]) -> None:
    reply = shared.complete(**body)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, code, param), reply.error
    assert CANARY not in reply.body.decode()


BODIES: list[tuple[bytes, str]] = [
    (b"", "invalid_json"),
    (b"{", "invalid_json"),
    (b'{"model": "canary-4711",}', "invalid_json"),
    (b'{"model": "m", "messages": [{"role": "user", "content": "a"}]} canary-4711', "invalid_json"),
    (b"canary-4711", "invalid_json"),
    (b'{"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "canary-4711 \xff"}]}', "invalid_json"),
    (b'{"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "canary-4711 \\ud83d"}]}', "invalid_json"),
    (b'{"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "\\ude00 canary-4711"}]}', "invalid_json"),
    (b'{"model": "gpt-oss-20b", "messages": [{"role": "user", "content": "\xed\xa0\xbd"}]}', "invalid_json"),
    (b'{"temperature": NaN}', "invalid_json"),
    (b'\xff\xfe{\x00"\x00', "invalid_json"),
    (b"[" * 40 + b"]" * 40, "invalid_json"),
    (b"[" * 20000, "invalid_json"),
    (b'{"a":' * 10000, "invalid_json"),
    (b"[]", "invalid_type"),
    (b'"canary-4711"', "invalid_type"),
    (b"null", "invalid_type"),
]


@pytest.mark.parametrize(("body", "code"), BODIES)
def test_bodies_that_are_no_requests(shared: Shared, body: bytes, code: str) -> None:
    reply = shared.request("POST", CHAT, body)
    assert (reply.status, reply.error["code"]) == (400, code)
    assert CANARY not in reply.body.decode()


def test_depth_counts_brackets_and_not_what_strings_hold(shared: Shared) -> None:
    nested: Any = {}
    for _ in range(20):
        nested = {"properties": nested}
    tools = [{"type": "function", "function": {"name": "f", "parameters": nested}}]
    reply = shared.chat(tools=tools)
    assert (reply.status, reply.error["code"]) == (400, "invalid_json")
    assert shared.chat(messages=[user('[[[{{{\\"' * 100)]).status == 200
    assert shared.chat(messages=[user("a")] * 100).status == 200


def test_body_size(shared: Shared) -> None:
    def sized(size: int) -> bytes:
        base = json.dumps({"model": MODEL, "messages": [user("")]}).encode()
        return base.replace(b'""', b'"' + b"x" * (size - len(base)) + b'"')

    assert shared.request("POST", CHAT, sized(262144)).status == 200
    reply = shared.request("POST", CHAT, sized(262145))
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
