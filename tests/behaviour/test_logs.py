"""One line per request, JSON, with neither keys nor a word of what was said."""

from __future__ import annotations

import json
from typing import Any

from tests.behaviour.engine_double import EngineDouble, answer, breaks, error, error_event
from tests.behaviour.serving import CHAT, COMPLETIONS, KEY, MESSAGES, MODEL, portico
from tests.behaviour.vllm import Reply

CANARY = "canary4711"
FIELDS = {
    "ts", "msg", "id", "trace_id", "client_id", "key", "endpoint", "model", "engine", "status", "outcome", "stream",
    "ms", "ttft_ms", "prompt_tokens", "completion_tokens", "estimated", "retries",
}  # fmt: skip


async def test_a_line() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        body = {"model": "gpt-4o-mini", "messages": MESSAGES, "stream": True}
        reply = await gate.request("POST", CHAT, body, x_client_request_id="mine-1")
        (line,) = gate.log_lines()
        assert set(line) == FIELDS
        assert line["id"] == reply.headers["x-request-id"]
        assert line | {"ts": 0, "id": "", "ms": 0, "ttft_ms": 0} == {
            "ts": 0,
            "msg": "request",
            "id": "",
            "trace_id": None,
            "client_id": "mine-1",
            "key": "tester",
            "endpoint": "chat.completions",
            "model": MODEL,
            "engine": "one",
            "status": 200,
            "outcome": "ok",
            "stream": True,
            "ms": 0,
            "ttft_ms": 0,
            "prompt_tokens": 120,
            "completion_tokens": 6,
            "estimated": False,
            "retries": 0,
        }
        assert 0 < line["ttft_ms"] <= line["ms"] < 5000


async def test_one_line_per_request() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        asked = 0
        for body in ({}, {"stream": True}, {"n": 99}, {"ignore_eos": True}, {"model": "x"}, {"stop": "x"}):
            reply = await gate.chat(**body)
            asked += 1
            assert gate.log_lines()[-1]["id"] == reply.headers["x-request-id"]
            assert gate.log_lines()[-1]["status"] == reply.status
        await gate.request("GET", CHAT)
        await gate.request("POST", CHAT, key=None)
        await gate.request("POST", COMPLETIONS, b"{")
        assert len(gate.log_lines()) == asked + 3


def bodies() -> list[dict[str, Any]]:
    """Good and bad requests, each with the canary in some place."""
    message = [{"role": "user", "content": CANARY}]
    tool = {"type": "function", "function": {"name": CANARY, "description": CANARY, "parameters": {CANARY: CANARY}}}
    strings = ["user", "prompt_cache_key", "safety_identifier", "stop", "model", "reasoning_effort", "service_tier"]
    strings += ["temperature", "n", "stream", "tools", "messages", "response_format", "tool_choice", "metadata", "seed"]
    return [
        {"messages": message},
        {"messages": [*message, {"role": "assistant", "content": CANARY, "reasoning": CANARY}, *message]},
        {"messages": message, "tools": [tool], "metadata": {CANARY: CANARY}},
        {"messages": [{"role": "tool", "tool_call_id": CANARY, "content": CANARY}]},
        {"messages": [{"role": CANARY, "content": CANARY}]},
        {"messages": [{"role": "user", "content": [{"type": CANARY, "text": CANARY}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": CANARY}}]}]},
        {"tools": [tool], "tool_choice": {"type": "function", "function": {"name": CANARY + "x"}}},
        {"tools": [{"type": "function", "function": {"name": CANARY + " "}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": CANARY + "!", "schema": {CANARY: 1}}}},
        {"logit_bias": {CANARY: 1}},
        {"metadata": {CANARY * 10: CANARY}},
        {"vllm_xargs": {CANARY: CANARY}},
        *[{name: CANARY} for name in strings],
        *[{name: [CANARY]} for name in strings],
        *[{name: {"x": CANARY}} for name in strings],
    ]


async def test_the_canary() -> None:
    said = Reply(CANARY, reasoning=CANARY, tool_calls=((CANARY, json.dumps({CANARY: CANARY})),))
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.always = answer(said)
        for body in bodies():
            for stream in (False, True):
                reply = await gate.chat(**{"stream": stream} | body)
                if reply.status >= 400:
                    assert reply.error
                    assert CANARY not in reply.body.decode(), body
        for script in (
            error(400, f"Value '{CANARY}' is bad"),
            error(500, CANARY),
            error(500, body=CANARY.encode()),
            error_event(2, {"error": {"message": CANARY}}),
            error_event(2, CANARY),
            breaks(2, reply=CANARY),
        ):
            engine.plan(script)
            await gate.chat(stream=True)
        await gate.request("POST", CHAT, f'{{"{CANARY}'.encode())
        await gate.request("POST", CHAT, CANARY.encode() + b"\xff")
        await gate.request("POST", COMPLETIONS, {"model": MODEL, "prompt": "<|start|>" + CANARY})
        await gate.request("POST", COMPLETIONS, {"model": MODEL, "prompt": CANARY, "suffix": CANARY})
        await gate.request("POST", CHAT + "?q=" + CANARY, {"model": MODEL, "messages": MESSAGES}, x_custom=CANARY)
        await gate.request("GET", "/v1/models/" + CANARY)
        await gate.request("GET", "/v1/" + CANARY)
        await gate.request("POST", CHAT, {}, "sk-" + CANARY)
        await gate.request("POST", CHAT, {}, None, x_api_key=CANARY)
        log = gate.log_text()
        assert len(gate.log_lines()) > 100
        assert CANARY not in log
        assert KEY not in log
        assert CANARY not in gate.exposition()
        assert KEY not in gate.exposition()


async def test_no_lines_if_so_configured() -> None:
    async with EngineDouble() as engine, portico(engine, logging={"requests": False}) as gate:
        await gate.chat()
        await gate.chat(n=99)
        assert gate.log_lines() == []


async def test_the_other_routes_have_a_line_too_but_the_probes() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        models = await gate.request("GET", "/v1/models")
        wrong = await gate.request("GET", "/v1/models", key="sk-wrong")
        nothing = await gate.request("GET", f"/v1/{CANARY}")
        await gate.request("GET", "/healthz")
        await gate.request("GET", "/readyz")
        assert [(line["id"], line["endpoint"], line["status"], line["outcome"]) for line in gate.log_lines()] == [
            (models.headers["x-request-id"], "models", 200, "ok"),
            (wrong.headers["x-request-id"], "models", 401, "unauthorized"),
            (nothing.headers["x-request-id"], "unknown", 404, "invalid"),
        ]
        assert CANARY not in str(gate.log_lines())


async def test_successes_can_be_left_out_and_failures_cannot() -> None:
    async with EngineDouble() as engine, portico(engine, logging={"sample_successes": 0}) as gate:
        await gate.chat()
        await gate.request("GET", "/v1/models")
        await gate.chat(n=99)
        engine.plan(error(500))
        await gate.chat()
        await gate.request("POST", CHAT, key=None)
        assert [line["outcome"] for line in gate.log_lines()] == ["invalid", "engine_error", "unauthorized"]


async def test_a_share_of_the_successes() -> None:
    async with EngineDouble() as engine, portico(engine, logging={"sample_successes": 0.5}) as gate:
        for _ in range(60):
            await gate.chat()
        assert 5 < len(gate.log_lines()) < 55, "one of 10^11 runs fails"
