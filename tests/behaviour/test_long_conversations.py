"""Conversations that are longer than the model's context, with `truncation: auto`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, error
from tests.behaviour.serving import MODEL, Gate, portico
from tests.behaviour.test_responses import WEATHER
from tests.behaviour.vllm import Reply

PATH = "/v1/responses"
LONG = "The quick brown fox, aged 17, jumps over the lazy dog. " * 20  # some 300 tokens
SMALL: Any = {"model": {"context_length": 1000}}


def turns(number: int) -> list[Any]:
    found: list[Any] = []
    for at in range(number):
        call = {"type": "function_call", "call_id": f"c{at}", "name": "weather", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": f"c{at}", "output": LONG}
        found += [{"role": "user", "content": f"question {at}"}, call, output, {"role": "assistant", "content": "Ok."}]
    return found


async def ask(gate: Gate, **body: Any) -> Any:
    return await gate.request("POST", PATH, {"model": MODEL, "tools": [WEATHER]} | body)


def texts(engine: EngineDouble) -> list[str]:
    found: list[str] = []
    for one in engine.calls[-1].json["messages"]:
        content = one.get("content") or ""
        found.append(content if isinstance(content, str) else "".join(part["text"] for part in content))
    return found


@pytest.mark.parametrize("stream", [False, True])
async def test_the_oldest_goes_and_the_rest_fits(stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL) as gate:
        given = [{"role": "developer", "content": "Be kind."}, *turns(6), {"role": "user", "content": "And now?"}]
        asked: dict[str, Any] = {"input": given, "instructions": "Rules.", "max_output_tokens": 200}
        reply = await ask(gate, truncation="auto", stream=stream, **asked)
        assert reply.status == 200
        found = texts(engine)
        assert (found[0], found[1], found[-1]) == ("Rules.", "Be kind.", "And now?")
        assert "question 0" not in found and 6 < len(found) < len(given)
        roles = [one["role"] for one in engine.calls[-1].json["messages"]]
        for at, role in enumerate(roles):
            assert role != "tool" or roles[at - 1] == "assistant"
        # what was sent is as long as may be: the same without truncation fits, and with one turn more it does not
        count = await gate.request("POST", f"{PATH}/input_tokens", {"model": MODEL, "tools": [WEATHER]} | {
            "input": given, "instructions": "Rules.", "truncation": "auto"
        })  # fmt: skip
        assert 300 < count.json["input_tokens"] <= 1000 - 1000 // 8


async def test_what_is_stored_is_whole() -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL) as gate:
        engine.always = answer(Reply(LONG))
        latest = None
        for turn in range(6):
            more = {} if latest is None else {"previous_response_id": latest}
            reply = await ask(gate, input=f"question {turn}", truncation="auto", **more)
            assert (reply.status, reply.json["truncation"]) == (200, "auto")
            latest = reply.json["id"]
        assert "question 0" not in texts(engine) and "question 5" in texts(engine)
        history = await gate.parts.durable.history("default", latest or "")
        assert len([one for one in history if b"question" in one.body]) == 6
        # Errors name what is left of it.
        engine.always = error(400, "This model's maximum context length is 1000 tokens.")
        reply = await ask(gate, input="x", truncation="auto", previous_response_id=latest)
        assert reply.status == 400


async def test_without_it_nothing_goes() -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL) as gate:
        given = [*turns(6), {"role": "user", "content": "And now?"}]
        await ask(gate, input=given)
        assert len(texts(engine)) == len(given)
        await ask(gate, input=given, truncation="disabled")
        assert len(texts(engine)) == len(given)
        await ask(gate, input=turns(1), truncation="auto")
        assert len(texts(engine)) == 4, "what fits stays"


async def test_a_turn_that_is_too_long_by_itself_is_the_engines_to_refuse() -> None:
    async with EngineDouble() as engine, portico(engine, **SMALL) as gate:
        await ask(gate, input=[*turns(2), {"role": "user", "content": LONG * 9}], truncation="auto")
        assert texts(engine) == [LONG * 9]


async def test_what_a_policy_finds_is_told_by_its_place_in_the_request(tmp_path: Any) -> None:
    policy = tmp_path / "house.yaml"
    rule = "{id: r, category: own, literals: [lantern], action: block}"
    policy.write_text(f"name: h\nversion: 1\nrules: [{rule}]\n")
    async with EngineDouble() as engine, portico(engine, moderation={"policy": str(policy)}, **SMALL) as gate:
        given = [*turns(6), {"role": "user", "content": "the lantern"}]
        reply = await ask(gate, input=given, truncation="auto")
        assert (reply.error["code"], reply.error["param"]) == ("content_filter", f"input[{len(given) - 1}].content")
        given[0]["content"] = "a lantern"
        given[-1]["content"] = "no light"
        assert (await ask(gate, input=given, truncation="auto")).status == 200, "what is left out reaches no model"
