"""Stop texts end the answer exactly there, whatever the engine makes of them (vLLM does not remove them)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble, answer, hang
from tests.behaviour.serving import eventually, portico
from tests.behaviour.vllm import Reply

COUNT = [str(number) + " " for number in range(1, 21)]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("content", "stop", "left"),
    [
        (COUNT, "10", "1 2 3 4 5 6 7 8 9 "),
        (["1 2 3 4"], ["3", "2"], "1 "),
        (["a", "EN", "D", "b"], "END", "a"),
        (["aE", "N", "x"], ["END"], "aENx"),
        (["aEND"], ["END"], "a"),
        (["END", "a"], ["END"], ""),
        (["a", "EN"], ["END"], "aEN"),
        (["你好", "，世", "界。再"], "界。", "你好，世"),
        (['say "', 'x"', " y"], '"x"', "say "),
        (["line\n", "\nnext"], "\n\n", "line"),
        (["a🎉b"], "🎉", "a"),
    ],
)
def test_cut(shared: Shared, content: list[str], stop: Any, left: str, stream: bool) -> None:
    shared.engine.plan(answer(Reply(content, reasoning="10 END 3")))
    reply = shared.chat(stop=stop, stream=stream)
    assert reply.text() == left
    assert reply.text("reasoning") == "10 END 3"  # stop texts are for the answer alone
    assert reply.finish() == "stop"
    assert "stop" not in shared.engine.calls[-1].json


@pytest.mark.parametrize("stream", [True, False])
def test_length_stays_length(shared: Shared, stream: bool) -> None:
    shared.engine.plan(answer(Reply(["a", "b", "EN"], finish="length")))
    reply = shared.chat(stop="END", stream=stream)
    assert (reply.text(), reply.finish()) == ("abEN", "length")


@pytest.mark.parametrize("stream", [True, False])
def test_each_choice_has_its_own(shared: Shared, stream: bool) -> None:
    shared.engine.plan(answer(Reply(["a ", "X ", "b"], others={1: Reply(["c ", "d ", "e ", "X ", "f"])})))
    reply = shared.chat(stop="X", n=2, stream=stream)
    assert (reply.text(index=0), reply.finish(0)) == ("a ", "stop")
    assert (reply.text(index=1), reply.finish(1)) == ("c d e ", "stop")


@pytest.mark.parametrize("stream", [True, False])
async def test_the_engine_is_aborted_and_usage_is_what_it_made(stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(hang(6, Reply(["a ", "b ", "X ", "c ", "d ", "e "], reasoning="hm")))
        options = {"stream_options": {"include_usage": True}} if stream else {}
        reply = await gate.chat(stop="X", stream=stream, **options)
        assert (reply.text(), reply.finish()) == ("a b ", "stop")
        await eventually(engine.calls[0].left.is_set)
        usage = (reply.events[-1] if stream else reply.json)["usage"]
        assert usage["prompt_tokens"] == 120
        assert 4 <= usage["completion_tokens"] <= 5
        assert usage["total_tokens"] == 120 + usage["completion_tokens"]
        assert usage["completion_tokens_details"] == {"reasoning_tokens": 1}
        assert gate.log_lines()[-1]["completion_tokens"] == usage["completion_tokens"]
        assert gate.log_lines()[-1]["outcome"] == "ok"
        await eventually(lambda: gate.total("portico_in_flight_requests") == 0)


def test_usage_is_shown_once_or_not_at_all(shared: Shared) -> None:
    shared.engine.plan(*[answer(Reply(COUNT))] * 2)
    assert not [event for event in shared.chat(stop="5", stream=True).events if "usage" in event]
    events = shared.chat(stop="5", stream=True, stream_options={"include_usage": True}).events
    assert [position for position, event in enumerate(events) if event.get("usage")] == [len(events) - 1]


def test_completions_leave_it_to_the_engine(shared: Shared) -> None:
    shared.complete(stop=["x", "y"])
    assert shared.engine.calls[-1].json["stop"] == ["x", "y"]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_stop_text_is_kept_where_the_operator_allows_to_ask_for_it(stream: bool) -> None:
    allowed = {"extra_fields": ["include_stop_str_in_output"]}
    async with EngineDouble() as engine, portico(engine, model=allowed) as gate:
        engine.plan(answer(Reply(COUNT)))
        reply = await gate.chat(stop="10", stream=stream, include_stop_str_in_output=True)
        assert (reply.text(), reply.finish()) == ("1 2 3 4 5 6 7 8 9 10", "stop")


async def test_one_usage_though_all_comes_in_one_read() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(answer(Reply(["a", "END"]), cuts=100_000))
        reply = await gate.chat(stop="END", stream=True, stream_options={"include_usage": True})
        assert sum(b'"usage":{' in payload for payload in reply.payloads) == 1
