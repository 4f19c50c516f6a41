"""Nothing that is not named in the endpoint's list reaches the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL

OPERATOR_ONLY = {
    "priority": 0,
    "cache_salt": "x",
    "kv_transfer_params": {"prompt_token_ids": [1]},
    "prompt_embeds": "AAAA",
    "vllm_xargs": {"a": 1},
    "ignore_eos": True,
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
    "prompt_logprobs": 5,
    "previous_input_messages": [],
    "include_reasoning": False,
    "guided_json": {},
    "guided_regex": "a*",
    "guided_choice": ["a"],
    "guided_grammar": "root",
    "structured_outputs": {"json": {}},
    "chat_template": "{{ messages }}",
    "chat_template_kwargs": {},
    "add_generation_prompt": False,
    "continue_final_message": True,
    "add_special_tokens": True,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": True,
    "stop_token_ids": [200012],
    "bad_words": ["a"],
    "allowed_token_ids": [1],
    "logits_processors": [],
    "truncate_prompt_tokens": 1,
    "mm_processor_kwargs": {},
    "media_io_kwargs": {},
    "documents": [],
    "request_id": "x",
    "echo_prompt": True,
    "use_beam_search": True,
    "data_parallel_rank": 0,
    "ec_transfer_params": {},
    "repetition_detection": {},
    "__proto__": {},
    "Model": "x",
}

PASSES = {
    "model", "messages", "prompt", "stream", "stream_options", "temperature", "top_p", "top_k", "frequency_penalty",
    "presence_penalty", "logit_bias", "n", "seed", "max_tokens", "logprobs", "top_logprobs", "tools", "tool_choice",
    "parallel_tool_calls", "response_format", "reasoning_effort", "stop", "echo",
}  # fmt: skip

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
TEXT = {"type": "text", "text": "t"}
BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}
FULL: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "s", "name": "sys"},
        {"role": "developer", "content": [{"type": "text", "text": "d", **BREAKPOINT}]},
        {"role": "user", "content": [{"type": "text", "text": "u", **BREAKPOINT}, TEXT], "name": "u"},
        {
            "role": "assistant", "content": None, "refusal": None, "annotations": [], "audio": None,
            "function_call": None, "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r", **BREAKPOINT}]},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "again"},
    ],
    "temperature": 0.5, "top_p": 0.5, "top_k": 5, "frequency_penalty": 1, "presence_penalty": 1, "n": 2, "seed": 1,
    "logit_bias": {"1": 1}, "max_completion_tokens": 10, "logprobs": True, "top_logprobs": 2, "tools": [TOOL],
    "tool_choice": "auto", "parallel_tool_calls": True, "response_format": {"type": "json_object"},
    "reasoning_effort": "high", "stop": ["x"], "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": False}, "user": "u", "metadata": {"a": "b"},
    "store": True, "safety_identifier": "s", "prompt_cache_key": "p", "prompt_cache_retention": "24h",
    "prompt_cache_options": {"ttl": "30m", "mode": "explicit"},
    "service_tier": "priority", "modalities": ["text"], "verbosity": "low",
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATOR_ONLY)
@pytest.mark.parametrize("endpoint", ["chat", "complete"])
def test_a_field_of_the_operator_is_refused(shared: Shared, endpoint: str, name: str) -> None:
    before = len(shared.engine.calls)
    reply = getattr(shared, endpoint)(**{name: OPERATOR_ONLY[name]})
    assert reply.status == 400
    assert (reply.error["code"], reply.error["param"]) == ("unknown_parameter", name)
    assert reply.error["type"] == "invalid_request_error"
    assert len(shared.engine.calls) == before


@pytest.mark.parametrize("name", ["min_p", "repetition_penalty", "min_tokens", "length_penalty"])
def test_an_extra_sampling_field_needs_the_operator(shared: Shared, name: str) -> None:
    reply = shared.chat(**{name: 1})
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "unknown_parameter", name)
    assert "extra_fields" in reply.error["message"]


NESTED: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": "a", "x": 1}]}, "messages[0].x"),
    ({"messages": [{"role": "system", "content": "a", "x": 1}]}, "messages[0].x"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]}, "messages[0].content[0].x"),
    (
        {"messages": [*MESSAGES, {"role": "assistant", "content": "a", "prefix": True}]},
        "messages[1].prefix",
    ),
    (
        {
            "messages": [
                *MESSAGES,
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}", "x": 1}}],
                },
            ]
        },
        "messages[1].tool_calls[0].function.x",
    ),
    ({"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]}, "tools[0].function.x"),
    ({"tools": [{"type": "function", "x": 1, "function": {"name": "f"}}]}, "tools[0].x"),
    ({"stream": True, "stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats"),
    ({"response_format": {"type": "json_object", "schema": {}}}, "response_format.schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "x": 1}}},
        "response_format.json_schema.x",
    ),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f", "x": 1}}},
        "tool_choice.function.x",
    ),
]


@pytest.mark.parametrize(("body", "param"), NESTED, ids=[param for _, param in NESTED])
def test_unknown_fields_are_refused_at_any_depth(shared: Shared, body: dict[str, Any], param: str) -> None:
    reply = shared.chat(**body)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "unknown_parameter", param)


@pytest.mark.parametrize("stream", [True, False])
def test_only_named_fields_reach_the_engine(shared: Shared, stream: bool) -> None:
    body = {key: value for key, value in FULL.items() if stream or key not in ("stream", "stream_options")}
    assert shared.chat(**body).status == 200
    sent = shared.engine.calls[-1].json
    assert set(sent) <= PASSES, set(sent) - PASSES
    assert set(sent["messages"][3]) <= {"role", "content", "reasoning", "tool_calls"}
    assert sent["messages"][3]["reasoning"] == "hm"
    assert sent["messages"][1:3] == [
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "content": [{"type": "text", "text": "u"}, TEXT], "name": "u"},
    ]
    assert sent["messages"][4]["content"] == [{"type": "text", "text": "r"}]
    assert set(sent["messages"][3]["tool_calls"][0]) <= {"id", "type", "function"}
    assert sent["model"] == MODEL
    assert (sent["n"], sent["seed"], sent["top_k"], sent["max_tokens"]) == (2, 1, 5, 10)


def test_only_named_fields_reach_the_engine_for_completions(shared: Shared) -> None:
    body = {"prompt": ["a", "b"], "echo": True, "logprobs": 2, "stop": "x", "n": 2, "user": "u", "max_tokens": 5}
    assert shared.complete(**body).status == 200
    sent = shared.engine.calls[-1].json
    assert sent == {"model": MODEL} | {key: value for key, value in body.items() if key != "user"}
    assert shared.complete(best_of=1, max_tokens=0, echo=True, logprobs=1).status == 200
    assert shared.engine.calls[-1].json == {
        "model": MODEL, "prompt": "Once", "max_tokens": 0, "echo": True, "logprobs": 1,
    }  # fmt: skip


def test_headers_of_a_client_do_not_reach_the_engine(shared: Shared) -> None:
    reply = shared.request(
        "POST",
        CHAT,
        {"model": MODEL, "messages": MESSAGES},
        X_Vllm_Priority="-5",
        X_Custom="canary",
        tracestate="vendor=canary",
        baggage="canary=1",
        cookie="a=b",
        x_request_id="mine-1",
    )
    assert reply.status == 200
    headers = shared.engine.calls[-1].headers
    assert set(headers) <= {"host", "accept-encoding", "content-type", "content-length", "x-request-id"}
    assert headers["x-request-id"] == reply.headers["x-request-id"] != "mine-1"
    assert KEY not in json.dumps(headers)


def test_null_means_absent(shared: Shared) -> None:
    names = [name for name in FULL if name not in ("messages", "stop")]
    assert shared.chat(**dict.fromkeys(names)).status == 200
    assert set(shared.engine.calls[-1].json) == {"model", "messages"}
