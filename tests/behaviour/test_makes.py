"""Engines of other makes: clients get OpenAI's shapes from all of them, and a clear refusal of what they cannot do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, error, raw
from tests.behaviour.makes import CREATED, PROMPT_TOKENS, Played, plays, sse
from tests.behaviour.makes.llamacpp import LLAMACPP, TOO_LONG
from tests.behaviour.makes.lmstudio import LMSTUDIO
from tests.behaviour.makes.ollama import OLLAMA
from tests.behaviour.makes.sglang import SGLANG
from tests.behaviour.makes.transformers import PARSED, TRANSFORMERS
from tests.behaviour.serving import CHAT, COMPLETIONS, MODEL, Gate, portico
from tests.behaviour.vllm import Reply
from tests.behaviour.wire import Reply as Got
from tests.openai_schema import validator

PLAYED = {
    "SGLang": SGLANG,
    "LM Studio": LMSTUDIO,
    "Ollama": OLLAMA,
    "llama.cpp": LLAMACPP,
    "transformers serve": TRANSFORMERS,
    "transformers serve, parsed": PARSED,
}
every_make = pytest.mark.parametrize("make", PLAYED.values(), ids=list(PLAYED))
both_ways = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
ARGUMENTS = '{"city":"Paris"}'
SAID = Reply("The capital is Paris.", reasoning="The user asks for it.")
CALLS = Reply("", reasoning="The user wants the weather.", tool_calls=(("get_weather", ARGUMENTS),))
WITH_USAGE = {"stream_options": {"include_usage": True}}


@asynccontextmanager
async def served(make: Played, reply: Reply | None = None, **sections: Any) -> AsyncIterator[tuple[Gate, EngineDouble]]:
    async with EngineDouble() as engine, portico(engine, makes=(make.name,), **sections) as gate:
        engine.always = plays(make, reply)
        yield gate, engine


def checked(reply: Got, make: Played, *, stream: bool, chat: bool = True) -> None:
    """It is as OpenAI's, and nothing of the engine's own is in it."""
    assert reply.status == 200, reply.body
    name = {
        (True, True): "CreateChatCompletionStreamResponse",
        (True, False): "CreateChatCompletionResponse",
        (False, True): "CreateCompletionResponse",
        (False, False): "CreateCompletionResponse",
    }[chat, stream]
    events = reply.events if stream else [reply.json]
    for event in events:
        if chat or not stream:
            validator(name)(event)
        assert event["model"] == MODEL
        assert event["created"] == CREATED
        assert event["id"] == events[0]["id"]
    assert [word for word in make.internals if word in reply.body.decode()] == []


def usage_of(reply: Got, *, stream: bool) -> dict[str, Any]:
    if not stream:
        return reply.json["usage"]
    *before, last = reply.events
    assert last["choices"] == []
    assert all(event["usage"] is None for event in before)
    return last["usage"]


@every_make
@both_ways
async def test_a_chat(make: Played, stream: bool) -> None:
    async with served(make, SAID) as (gate, _):
        reply = await gate.chat(stream=stream, **(WITH_USAGE if stream else {}))
        checked(reply, make, stream=stream)
        assert reply.text() == "The capital is Paris."
        assert reply.text("reasoning") == reply.text("reasoning_content") == "The user asks for it."
        assert reply.finish() == "stop"
        usage = usage_of(reply, stream=stream)
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (PROMPT_TOKENS, SAID.tokens)
        assert "estimated" not in usage
        if stream:
            roles = [one["choices"][0]["delta"].get("role") for one in reply.events if one["choices"]]
            assert roles.count("assistant") == 1
        (line,) = gate.log_lines()
        assert (line["prompt_tokens"], line["completion_tokens"]) == (PROMPT_TOKENS, SAID.tokens)
        assert line["estimated"] is False


@every_make
@both_ways
async def test_reasoning_is_hidden_where_it_should_be(make: Played, stream: bool) -> None:
    async with served(make, SAID, model={"reasoning": "hidden"}) as (gate, _):
        reply = await gate.chat(stream=stream)
        assert reply.text() == "The capital is Paris."
        assert b"user asks" not in reply.body


@every_make
@both_ways
async def test_a_call_of_a_function(make: Played, stream: bool) -> None:
    async with served(make, CALLS) as (gate, _):
        reply = await gate.chat(stream=stream, tools=[TOOL], tool_choice="auto")
        checked(reply, make, stream=stream)
        assert reply.finish() == "tool_calls"
        if not stream:
            (call,) = reply.json["choices"][0]["message"]["tool_calls"]
        else:
            deltas = [c for one in reply.events for c in one["choices"][0]["delta"].get("tool_calls") or ()]
            assert {one["index"] for one in deltas} == {0}
            assert [bool(one.get("id")) for one in deltas] == [True] + [False] * (len(deltas) - 1)
            call = deltas[0]
            call["function"]["arguments"] = "".join(one["function"].get("arguments") or "" for one in deltas)
        assert call["id"]
        assert call["type"] == "function"
        assert call["function"] == {"name": "get_weather", "arguments": ARGUMENTS}
        assert reply.text() == ""
        assert reply.text("reasoning") == "The user wants the weather."


@pytest.mark.parametrize("make", [SGLANG, LMSTUDIO, OLLAMA, LLAMACPP, PARSED], ids=lambda make: make.name)
async def test_several_calls_are_kept_apart(make: Played) -> None:
    two = Reply("", tool_calls=(("get_weather", ARGUMENTS), ("get_time", '{"zone":"CET"}')))
    async with served(make, two) as (gate, _):
        reply = await gate.chat(tools=[TOOL])
        calls = reply.json["choices"][0]["message"]["tool_calls"]
        assert [call["function"]["name"] for call in calls] == ["get_weather", "get_time"]
        assert [call["function"]["arguments"] for call in calls] == [ARGUMENTS, '{"zone":"CET"}']
        assert len({call["id"] for call in calls}) == 2


@every_make
async def test_a_conversation_is_told_in_the_words_of_the_make(make: Played) -> None:
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather"}, {"type": "text", "text": "in Paris?"}]},
        {
            "role": "assistant",
            "reasoning": "Ask the tool.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Sunny."}]},
    ]
    async with served(make, SAID) as (gate, engine):
        reply = await gate.chat(messages=turns, tools=[TOOL], reasoning_effort="low", max_completion_tokens=9)
        assert reply.status == 200, reply.body
        body = engine.calls[0].json
        assert body["max_tokens"] == 9
        assert [m["content"] for m in body["messages"] if m["role"] in ("user", "tool")] == [
            "Weather\nin Paris?",
            "Sunny.",
        ]
        assert "Ask the tool." in body["messages"][2].values()
        effort = body.get("reasoning_effort") or body["chat_template_kwargs"]["reasoning_effort"]
        assert effort == "low"


@every_make
@both_ways
async def test_a_raw_completion(make: Played, stream: bool) -> None:
    async with served(make, Reply("upon a time")) as (gate, _):
        reply = await gate.complete(stream=stream, **(WITH_USAGE if stream else {}))
        checked(reply, make, stream=stream, chat=False)
        assert reply.text("text") == "upon a time"
        assert usage_of(reply, stream=stream)["completion_tokens"] == 3


@every_make
async def test_defaults_that_clients_spell_out_are_no_wishes(make: Played) -> None:
    spelled = {
        "n": 1,
        "logprobs": False,
        "logit_bias": {},
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "parallel_tool_calls": True,
        "response_format": {"type": "text"},
        "tool_choice": "auto",
        "tools": [TOOL],
    }
    async with served(make, SAID) as (gate, _):
        assert (await gate.chat(**spelled)).text() == "The capital is Paris."
        reply = await gate.complete(n=1, echo=False, frequency_penalty=0, logit_bias={}, prompt=["Once"])
        assert reply.status == 200, reply.body


SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
REFUSED: list[tuple[Played, str, dict[str, Any], str]] = [
    *[(make, CHAT, {"n": 2}, "n") for make in (LMSTUDIO, OLLAMA, LLAMACPP, TRANSFORMERS)],
    *[(make, CHAT, {"logprobs": True, "top_logprobs": 2}, "logprobs") for make in (LMSTUDIO, TRANSFORMERS)],
    (OLLAMA, CHAT, {"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
    (LLAMACPP, CHAT, {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
     "tool_choice"),
    (LMSTUDIO, CHAT, {"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
    (LMSTUDIO, CHAT, {"response_format": {"type": "json_object"}}, "response_format"),
    (TRANSFORMERS, CHAT, {"response_format": SCHEMA}, "response_format"),
    (TRANSFORMERS, CHAT, {"presence_penalty": 0.5}, "presence_penalty"),
    (TRANSFORMERS, CHAT, {"frequency_penalty": 0.5}, "frequency_penalty"),
    (OLLAMA, CHAT, {"logit_bias": {"5": 1}}, "logit_bias"),
    (OLLAMA, COMPLETIONS, {"prompt": ["a", "b"]}, "prompt"),
    (LLAMACPP, COMPLETIONS, {"echo": True}, "echo"),
    (LLAMACPP, COMPLETIONS, {"logprobs": 1}, "logprobs"),
    (TRANSFORMERS, COMPLETIONS, {"stop": "x"}, "stop"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "path", "body", "param"), REFUSED, ids=[f"{m.name} {p}" for m, _, _, p in REFUSED])
async def test_what_a_make_cannot_do_is_refused_before_it_is_asked(
    make: Played, path: str, body: dict[str, Any], param: str
) -> None:
    async with served(make) as (gate, engine):
        reply = await (gate.chat(**body) if path == CHAT else gate.complete(**body))
        assert reply.status == 400
        assert reply.error["param"] == param
        assert reply.error["code"] == "unsupported_value"
        title = next(name for name, one in PLAYED.items() if one is make)
        assert all(word in reply.error["message"] for word in (f"'{param}'", MODEL, title))
        assert engine.calls == []
        assert gate.parts.engines["one"].in_flight == 0


@pytest.mark.parametrize(
    ("make", "body"),
    [
        (SGLANG, {"n": 1, "logprobs": True, "top_logprobs": 2, "response_format": SCHEMA, "seed": 1}),
        (OLLAMA, {"response_format": {"type": "json_object"}, "seed": 1, "logprobs": True, "presence_penalty": 0.1}),
        (LLAMACPP, {"tools": [TOOL], "tool_choice": "required", "logit_bias": {"5": 1}, "parallel_tool_calls": False}),
        (LMSTUDIO, {"response_format": SCHEMA, "logit_bias": {"5": 1}}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_what_a_make_can_do_reaches_it(make: Played, body: dict[str, Any]) -> None:
    async with served(make, SAID) as (gate, engine):
        assert (await gate.chat(**body)).status == 200
        sent = engine.calls[0].json
        assert {name: sent.get(name) for name in body if name != "n"} == {k: v for k, v in body.items() if k != "n"}


async def test_a_field_goes_by_the_name_that_the_make_has_for_it() -> None:
    allowed = {"extra_fields": ["repetition_penalty", "length_penalty"]}
    async with served(LLAMACPP, SAID, model=allowed) as (gate, engine):
        assert (await gate.chat(repetition_penalty=1.1)).status == 200
        assert engine.calls[0].json["repeat_penalty"] == 1.1
        assert (await gate.chat(length_penalty=1.1)).error["param"] == "length_penalty"


@every_make
async def test_errors_are_translated(make: Played) -> None:
    status, body = make.error("something is wrong")
    async with served(make) as (gate, engine):

        async def refuses(exchange: Any) -> None:
            await exchange.whole(status, body)

        engine.always = refuses
        for stream in (True, False):
            reply = await gate.chat(stream=stream)
            assert reply.status == 400
            assert reply.error["type"] == "invalid_request_error"
            assert "something is wrong" in reply.error["message"]


async def test_a_prompt_that_is_too_long() -> None:
    async with served(LLAMACPP) as (gate, engine):

        async def refuses(exchange: Any) -> None:
            await exchange.whole(400, TOO_LONG)

        engine.plan(refuses)
        refusal = (await gate.chat()).error
        assert refusal["code"] == "context_length_exceeded"
        assert "8192" in refusal["message"]
        assert "13392" in refusal["message"]


@every_make
@pytest.mark.parametrize("sent", [{"error": "boom"}, {"error": {"message": "boom", "code": 500}}, "not JSON"])
async def test_an_error_within_a_stream(make: Played, sent: object) -> None:
    async with served(make) as (gate, engine):

        async def breaks(exchange: Any) -> None:
            await exchange.head()
            for event in make.stream(SAID, exchange.call.json)[:3]:
                await exchange.part(event)
            await exchange.part(sse(sent))
            await exchange.end()

        engine.always = breaks
        reply = await gate.chat(stream=True)
        assert reply.status == 200
        assert json.loads(reply.payloads[-1])["error"]["code"] in ("engine_error", "internal_error")
        assert b"boom" not in reply.body


@every_make
async def test_a_stream_that_breaks_off_is_no_answer(make: Played) -> None:
    """Not every make says [DONE], but each says why a choice ends."""
    async with served(make) as (gate, engine):

        async def cut(exchange: Any) -> None:
            await exchange.head()
            for event in make.stream(SAID, exchange.call.json)[:4]:
                await exchange.part(event)
            await exchange.end()

        engine.always = cut
        reply = await gate.chat(stream=True)
        assert json.loads(reply.payloads[-1])["error"]["code"] == "engine_error"
        assert (await gate.chat(tools=[TOOL])).status == 502


# Usage


def without_usage(make: Played) -> Any:
    async def script(exchange: Any) -> None:
        body = exchange.call.json
        if not body.get("stream"):
            whole = make.whole(SAID, body)
            del whole["usage"]
            await exchange.whole(200, json.dumps(whole).encode())
            return
        await exchange.head()
        for event in make.stream(SAID, body):
            if event != b"data: [DONE]\n\n":
                tree = json.loads(event.removeprefix(b"data: "))
                tree.pop("usage", None)
                if not tree["choices"]:
                    continue
                event = sse(tree)  # noqa: PLW2901
            await exchange.part(event)
        await exchange.end()

    return script


@every_make
@both_ways
async def test_usage_that_is_not_told_is_estimated_and_says_so(make: Played, stream: bool) -> None:
    async with served(make) as (gate, engine):
        engine.always = without_usage(make)
        reply = await gate.chat(stream=stream, **(WITH_USAGE if stream else {}))
        checked(reply, make, stream=stream)
        usage = usage_of(reply, stream=stream)
        assert usage["estimated"] is True
        assert usage["prompt_tokens"] > 0
        assert usage["completion_tokens"] > 5
        assert gate.metric("portico_tokens_total", model=MODEL, kind="completion") == usage["completion_tokens"]
        assert gate.metric("portico_estimated_usage_total", model=MODEL) == 1
        (line,) = gate.log_lines()
        assert line["estimated"] is True


async def test_a_prompt_of_no_tokens_is_not_believed() -> None:
    """Ollama counts none of a prompt that it finds in its cache."""
    async with served(OLLAMA) as (gate, engine):

        async def cached(exchange: Any) -> None:
            whole = OLLAMA.whole(SAID, exchange.call.json)
            whole["usage"]["prompt_tokens"] = 0
            await exchange.whole(200, json.dumps(whole).encode())

        engine.plan(cached)
        usage = (await gate.chat()).json["usage"]
        assert usage["prompt_tokens"] > 0
        assert usage["completion_tokens"] == SAID.tokens
        assert usage["estimated"] is True


@every_make
async def test_a_stop_text_cuts_the_answer_and_its_usage_is_known(make: Played) -> None:
    async with served(make, SAID) as (gate, _):
        reply = await gate.chat(stream=True, stop=" is", **WITH_USAGE)
        assert reply.text() == "The capital"
        assert reply.finish() == "stop"
        usage = reply.events[-1]["usage"]
        assert usage["prompt_tokens"] > 0
        assert usage["completion_tokens"] > 0
        assert ("estimated" in usage) is (make is not SGLANG)


# Fleets of several makes


async def test_a_call_goes_to_an_engine_that_can_do_what_it_asks() -> None:
    async with EngineDouble() as ollama, EngineDouble() as vllm:
        ollama.always = plays(OLLAMA, SAID)
        vllm.always = answer(SAID)
        async with portico(ollama, vllm, makes=("ollama", "vllm")) as gate:
            for _ in range(4):
                assert (await gate.chat(n=2)).status == 200
            assert (len(ollama.calls), len(vllm.calls)) == (0, 4)
            await vllm.stop()
            for stream in (True, False):
                assert (await gate.chat(stream=stream)).text() == "The capital is Paris."
            assert len(ollama.calls) == 2
            refused = await gate.chat(n=2)
            assert refused.status == 503, refused.body
            assert refused.error["code"] == "engine_unavailable"


@both_ways
@pytest.mark.parametrize("ill", ["one", "two"])
async def test_a_call_that_moves_to_another_make_is_asked_and_read_in_its_way(ill: str, stream: bool) -> None:
    makes = ("transformers", "llamacpp")
    async with EngineDouble() as first, EngineDouble() as second, portico(first, second, makes=makes) as gate:
        first.always, second.always = plays(TRANSFORMERS, SAID), plays(LLAMACPP, SAID)
        failing = first if ill == "one" else second
        failing.always = error(500)
        gate.parts.engines["two" if ill == "one" else "one"].outstanding = 1000.0  # so the one that fails is chosen
        reply = await gate.chat(stream=stream)
        assert len(failing.calls) == 1
        assert reply.text() == "The capital is Paris."
        assert reply.text("reasoning") == "The user asks for it."


async def test_what_no_engine_of_a_fleet_can_do_is_refused() -> None:
    makes = ("transformers", "llamacpp")
    async with EngineDouble() as first, EngineDouble() as second, portico(first, second, makes=makes) as gate:
        refused = await gate.chat(logprobs=True, seed=1, n=2)
        assert refused.status == 400
        assert refused.error["param"] == "n"
        assert "transformers serve, llama.cpp" in refused.error["message"]
        assert first.calls == second.calls == []


async def test_nonsense_in_place_of_an_answer() -> None:
    async with served(LMSTUDIO) as (gate, engine):
        body = b'{"error":"Unexpected endpoint or method. (POST /v1/chat/completions)"}'  # with status 200
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        engine.always = raw(head + body)
        reply = await gate.chat()
        assert reply.status == 502
        assert reply.error["code"] == "engine_error"
