"""Counts of whole requests. tests/live/test_token_counts.py compares them with vLLM's own."""

from __future__ import annotations

import asyncio
import inspect
import json
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.call import Call
from server.engines.requests import engine_request
from server.openai.parse import parse
from server.openai.pooling_request import EMBEDDING, RERANK
from server.tokens import counter as module
from server.tokens import vocabulary
from server.tokens.bound import PREAMBLE, tool_bound, tool_json
from server.tokens.counter import AT_ONCE, LONGEST_TOOL, MOST_WAITING, TokenCounter
from server.tokens.vocabulary import Vocabulary
from tests.tokens.chats import call_of, chats, texts, tools

HI = [{"role": "user", "content": "hi"}]
PROSE = "The quick brown fox, aged 17, jumps over the lazy dog. "
COUNTER = TokenCounter()


def user(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


@given(chats, st.booleans(), st.none() | texts)
def test_the_bound_is_never_below_the_count(body: dict[str, Any], ascii_only: bool, prompt: str | None) -> None:
    call = call_of(body, ascii_only=ascii_only, developer_prompt=prompt)
    assert COUNTER.exact(call) <= COUNTER.upper_bound(call)


@given(st.lists(texts.filter(bool), min_size=1, max_size=5), st.booleans())
def test_the_bound_of_raw_prompts(prompts: list[str], ascii_only: bool) -> None:
    call = call_of({"prompt": prompts}, ascii_only=ascii_only, raw_special_tokens=True)
    assert COUNTER.exact(call) <= COUNTER.upper_bound(call)


@given(tools)
def test_the_bound_of_tools_alone(found: list[dict[str, Any]]) -> None:
    """So that no slack of the messages covers for it."""
    for one in call_of({"messages": HI, "tools": found}).body.tools:
        data = tool_json(one.function)
        assert COUNTER._vocabulary.further_tool(data) <= tool_bound(data)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("depth", [1, 20, 40, 80])
@pytest.mark.parametrize("kind", ["properties", "oneOf", "items"])
def test_the_bound_of_deep_and_wide_schemas(kind: str, depth: int) -> None:
    schema: Any = {"oneOf": [{}] * 30}
    for _ in range(depth):
        beside = schema if depth < 2 else {}
        schema = {
            "properties": {"type": "object", "description": "d\n", "properties": {"a": schema, "b": beside}},
            "oneOf": {"oneOf": [schema, {"type": "array"}]},
            "items": {"type": "array", "items": schema},
        }[kind]
    call = call_of({"messages": HI, "tools": [tool("f", parameters=schema), tool("g", parameters=schema)]})
    assert COUNTER.exact(call) <= COUNTER.upper_bound(call)


def test_the_fixed_part_is_within_its_bound() -> None:
    everything = Vocabulary()
    for effort in (None, "low", "medium", "high"):
        assert everything.preamble(effort, None) < everything.other_tool(effort) <= PREAMBLE


def test_every_date_has_as_many_tokens() -> None:
    """vLLM puts today's date into the system message."""
    everything = Vocabulary()
    first = date(2024, 1, 1)
    days = (first + timedelta(days=number) for number in range(365 * 25))
    assert {everything.text(f"Current date: {day}\n\nReasoning") for day in days} == {
        everything.text(f"Current date: {vocabulary.ANY_DATE}\n\nReasoning")
    }


def test_what_is_counted_is_what_is_sent() -> None:
    """The operator's message, the effort, no tools where there is no choice."""
    plain = COUNTER.exact(call_of({"messages": HI}))
    operators = call_of({"messages": HI}, developer_prompt="Speak plainly.")
    assert b"Speak plainly." in engine_request(operators, streams=False)
    leading = call_of({"messages": [{"role": "system", "content": "Speak plainly."}, *HI]})
    assert COUNTER.exact(operators) == COUNTER.exact(leading) > plain
    unshown = call_of({"messages": HI, "tools": [tool("f")], "tool_choice": "none"})
    shown = call_of({"messages": HI, "tools": [tool("f")]})
    assert COUNTER.exact(unshown) == plain < COUNTER.exact(shown)


def test_answers_asked_for_do_not_count_but_prompts_do() -> None:
    one = COUNTER.exact(call_of({"prompt": "Once upon a time"}))
    assert COUNTER.exact(call_of({"prompt": "Once upon a time", "n": 4})) == one
    assert COUNTER.exact(call_of({"prompt": ["Once upon a time", "Once upon a time"]})) == 2 * one


def test_control_tokens_count_as_one_in_raw_prompts_and_as_text_in_chats() -> None:
    assert COUNTER.exact(call_of({"prompt": "<|start|>user<|message|>hi<|end|>"}, raw_special_tokens=True)) == 5
    control, text = user("<|start|>"), user("|start|")
    assert COUNTER.exact(call_of(control)) > COUNTER.exact(call_of(text)) > COUNTER.exact(call_of(user("")))


def test_short_prompts_are_counted_at_once() -> None:
    assert COUNTER.count(call_of(user("x " * (AT_ONCE // 3)))) == COUNTER.exact(call_of(user("x " * (AT_ONCE // 3))))


def test_long_prompts_take_turns_with_the_event_loop() -> None:
    call = call_of(user(PROSE * 4000))

    async def both() -> tuple[int, int]:
        turns = 0
        counting = asyncio.ensure_future(later(TokenCounter(), call))
        while not counting.done():
            turns += 1
            await asyncio.sleep(0)
        return await counting, turns

    counted, turns = asyncio.run(both())
    assert counted == COUNTER.exact(call)
    assert turns > len(PROSE * 4000) // (module.SLICE + 1024)


def test_too_many_long_prompts_get_their_bound() -> None:
    call = call_of(user(PROSE * 160))
    counter = TokenCounter()

    async def many() -> list[int]:
        waiting = [asyncio.ensure_future(later(counter, call)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        assert counter.count(call) == counter.upper_bound(call)
        return await asyncio.gather(*waiting)

    assert set(asyncio.run(many())) == {COUNTER.exact(call)}


def test_a_prompt_that_waits_too_long_gets_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0)
    call = call_of(user(PROSE * 160))
    assert asyncio.run(later(COUNTER, call)) == COUNTER.upper_bound(call)


def test_a_cancelled_count_leaves_its_turn_to_others() -> None:
    call = call_of(user(PROSE * 160))
    counter = TokenCounter()

    async def run() -> int:
        first, second = (asyncio.ensure_future(later(counter, call)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(run()) == COUNTER.exact(call)


@pytest.mark.parametrize("sign", ["a", " ", "\n", "😀", "ก"])
def test_text_that_takes_hours_to_encode_is_counted_above_its_tokens(sign: str) -> None:
    """2 MB of one letter: an hour and a half in the tokenizer."""
    many = 2_000_000
    call = call_of(user(f"{sign * many} end"), context_length=16_000_000)
    counted = COUNTER.exact(call)
    assert len(sign.encode()) * many * 0.99 <= counted <= COUNTER.upper_bound(call)
    hard = tool("f", description=sign * many)
    call = call_of({"messages": HI, "tools": [hard, tool("g")]}, context_length=16_000_000)
    assert counted <= COUNTER.exact(call) <= COUNTER.upper_bound(call)


def test_long_functions_are_counted_by_their_bound() -> None:
    long = tool("long", description=PROSE * (LONGEST_TOOL // len(PROSE) + 1))
    for found in ([long], [long, tool("g")], [tool("g"), long]):
        call = call_of({"messages": HI, "tools": found})
        assert LONGEST_TOOL < COUNTER.exact(call) <= COUNTER.upper_bound(call)


def test_counting_ends_with_the_context() -> None:
    call = call_of(user(PROSE * 4000), context_length=1000)
    assert 1000 < COUNTER.exact(call) < 3000
    several = call_of({"prompt": [PROSE * 80] * 3}, context_length=1000)
    assert COUNTER.exact(several) == 3 * COUNTER.exact(call_of({"prompt": PROSE * 80}))


async def later(counter: TokenCounter, call: Call) -> int:
    found = counter.count(call)
    assert inspect.isawaitable(found)
    return await found


def pooled(endpoint: str, body: dict[str, Any]) -> Call:
    data = json.dumps({"model": "m", **body}).encode()
    request = parse(EMBEDDING, data, 64) if endpoint == "embeddings" else parse(RERANK, data, 64)
    made = call_of(user("x"))
    made.generates, made.body, made.size = False, request, len(data)
    return made


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8), st.text(min_size=1))
def test_the_bound_of_other_vocabularies_is_a_token_for_each_byte(inputs: list[str], query: str) -> None:
    """And it is the count, for no exact one is known here."""
    sizes = [len(one.encode()) for one in inputs]
    call = pooled("embeddings", {"input": inputs})
    assert COUNTER.count(call) == COUNTER.upper_bound(call) >= sum(sizes) + 4 * len(inputs)
    call = pooled("rerank", {"query": query, "documents": inputs})
    assert COUNTER.count(call) == COUNTER.upper_bound(call) >= sum(len(query.encode()) + size + 120 for size in sizes)
