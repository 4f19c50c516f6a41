"""How much of a conversation fits: exact by the same count that the engine makes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.response_calls import drop_messages
from server.call import Call
from server.openai.chat_request import ChatRequest
from server.openai.shorten import droppable
from server.responses.tools import NO_TOOLS
from server.responses.translate import Asked, TranslatedResponse
from server.tokens import counter as module
from server.tokens.counter import MOST_WAITING, TokenCounter
from tests.tokens.chats import call_of, texts, tools

COUNTER = TokenCounter()
PROSE = "The quick brown fox, aged 17, jumps over the lazy dog. "


def called(number: int, text: str, thought: str) -> list[dict[str, Any]]:
    call = {"id": f"c{number}", "type": "function", "function": {"name": "look_up", "arguments": text}}
    return [
        {"role": "assistant", "content": None, "reasoning": thought, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": text},
    ]


def conversation(kinds: list[str], words: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, kind in enumerate(kinds):
        text = words[number % len(words)] if words else "x"
        if kind == "call":
            found += called(number, text, text)
        elif kind == "assistant":
            found.append({"role": "assistant", "content": text, "reasoning": text})
        else:
            found.append({"role": kind, "content": text})
    return [*found, {"role": "user", "content": "And now?"}]


chats = st.builds(
    conversation,
    st.lists(st.sampled_from(["user", "assistant", "call", "developer", "system"]), max_size=10),
    st.lists(texts.filter(bool), max_size=4),
)


def shortened(call: Call, most: int) -> int:
    groups = droppable(call.body.messages)
    return asyncio.run(COUNTER.to_drop(call, groups, most))


def without(body: dict[str, Any], number: int, **model: Any) -> Call:
    call = call_of(body, **model)
    call.body = TranslatedResponse(**{name: getattr(call.body, name) for name in ChatRequest.__struct_fields__})
    call.body.asked = Asked(None, [], NO_TOOLS, 0, ["?"] * len(call.body.messages))  # type: ignore[arg-type]
    drop_messages(call, droppable(call.body.messages)[:number])
    assert len(call.body.asked.origins) == len(call.body.messages)
    return call


@given(chats, st.integers(60, 400), tools, st.none() | texts.filter(bool))
def test_what_is_left_fits_and_no_more_went_than_had_to(
    messages: list[dict[str, Any]], most: int, offered: list[dict[str, Any]], prompt: str | None
) -> None:
    body: dict[str, Any] = {"messages": messages} | ({"tools": offered} if offered else {})
    model: Any = {"developer_prompt": prompt}
    number = shortened(call_of(body, **model), most)
    groups = len(droppable(call_of(body).body.messages))
    left = COUNTER.exact(without(body, number, **model))
    assert left <= most or number == groups
    if number and not offered:  # with tools, instructions that become the first message take a little less
        assert COUNTER.exact(without(body, number - 1, **model)) > most
    assert COUNTER.exact(without(body, number, **model)) <= COUNTER.upper_bound(without(body, number, **model))


def test_calls_go_with_their_outputs() -> None:
    body = {"messages": conversation(["user", "call", "call", "assistant", "user"], [PROSE * 10])}
    whole = COUNTER.exact(call_of(body))
    for most in range(100, whole, 40):
        call = without(body, shortened(call_of(body), most))
        roles = [type(one).__name__ for one in call.body.messages]
        assert roles.count("ToolMessage") == sum(bool(getattr(one, "tool_calls", None)) for one in call.body.messages)
        assert roles[-1] == "UserMessage"


def test_the_work_is_bounded_by_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation a hundred times as long costs no more to count."""
    seen = 0
    plain = COUNTER._text  # pyright: ignore[reportPrivateUsage]

    def counting(text: str) -> Any:
        nonlocal seen
        seen += len(text)
        return plain(text)

    monkeypatch.setattr(COUNTER, "_text", counting)
    costs: list[int] = []
    for turns in (40, 4000):
        seen = 0
        body = {"messages": conversation(["user"] * turns, [PROSE * 4])}
        assert shortened(call_of(body), 1000) > turns // 2
        costs.append(seen)
    assert costs[1] <= costs[0] * 1.1


async def test_one_that_takes_too_long_is_cut_by_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.0)
    body = {"messages": conversation(["user"] * 400, [PROSE])}
    call = call_of(body)
    number = await COUNTER.to_drop(call, droppable(call.body.messages), 2000)
    assert 0 < number < 400
    assert COUNTER.exact(without(body, number)) <= 2000


async def test_no_more_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COUNTER, "_waiting", MOST_WAITING)
    body = {"messages": conversation(["user"] * 400, [PROSE])}
    call = call_of(body)
    number = await COUNTER.to_drop(call, droppable(call.body.messages), 2000)
    assert COUNTER.exact(without(body, number)) <= 2000


async def test_others_have_their_turn() -> None:
    body = {"messages": conversation(["user"] * 1000, [PROSE * 20])}
    call = call_of(body, context_length=131_072)
    turns, over = 0, False

    async def watch() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    assert 0 < await COUNTER.to_drop(call, droppable(call.body.messages), 100_000) < 1000
    over = True
    await watching
    assert turns > 50
