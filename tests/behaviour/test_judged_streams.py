"""Streams that are judged by windows, and while they leave: what leaves when, and what a late verdict ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour import vllm
from tests.behaviour.engine_double import EngineDouble, Exchange, Script, answer, error, hang
from tests.behaviour.serving import MODEL, eventually, portico
from tests.behaviour.test_judges import judged, judging, write
from tests.behaviour.vllm import Reply
from tests.behaviour.wire import Wire

CHUNKED = "mode: chunked, window_chars: 50, overlap_chars: 10"
ASYNC = "mode: async, window_chars: 50, overlap_chars: 10"
OUTPUT = "directions: [output]"
TEN = "nine lives"  # characters
BAD = "bad poison"


def pieces(text: str, size: int = 10) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def numbered(many: int) -> list[str]:
    """Ten characters each, all different: a window that was judged before is not asked about again."""
    return [f"{at:09d} " for at in range(many)]


def gated(verdicts: asyncio.Semaphore) -> Script:
    """Judges when it is let."""

    async def script(exchange: Exchange) -> None:
        await verdicts.acquire()
        await judging()(exchange)

    return script


def unending(reply: Reply) -> Script:
    """All but the end, and then silence."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for event in vllm.stream(reply, exchange.call.json)[:-2]:
            await exchange.event(event)
        await exchange.hang()

    return script


class Reader:
    """A client that keeps what has come so far."""

    def __init__(self, wire: Wire) -> None:
        self.body = b""
        self._wire = wire
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        await self._wire.head()
        async for part in self._wire.parts():
            self.body += part

    @property
    def events(self) -> list[Any]:
        lines = [one.removeprefix(b"data: ") for one in self.body.split(b"\n\n") if one.startswith(b"data: {")]
        return [json.loads(one) for one in lines]

    def text(self, field: str = "content") -> str:
        return "".join(one["delta"].get(field) or "" for event in self.events for one in event["choices"])

    async def end(self) -> None:
        await asyncio.wait_for(self._task, 5)


def judged_texts(judge: EngineDouble) -> list[str]:
    """What it was shown, without the lines around it."""
    return [call.json["messages"][-1]["content"] for call in judge.calls]


@pytest.mark.parametrize("stream", [CHUNKED, ASYNC])
async def test_all_of_a_good_answer_leaves_in_its_order(tmp_path: Path, stream: str) -> None:
    text = "".join(f"w{at:03d} " for at in range(120))
    async with judged(tmp_path, OUTPUT, stream) as (gate, engine, judge):
        engine.always = answer(Reply(pieces(text, 7), reasoning="Let me think about this."))
        reply = await gate.chat(stream=True, stream_options={"include_usage": True})
        assert (reply.text(), reply.text("reasoning"), reply.finish()) == (text, "Let me think about this.", "stop")
        assert reply.events[-1]["usage"]["completion_tokens"] > 0
        shown = judged_texts(judge)
        assert len(shown) == 1 + 1 + 13, "the reasoning, 8 pieces of 7 characters, and 6 pieces behind each overlap"
        assert "Let me think about this." in shown[0] and "w000" not in shown[0]
        assert all(any(word in one for one in shown) for word in text.split())


async def test_chunked_nothing_leaves_before_its_verdict(tmp_path: Path) -> None:
    verdicts = asyncio.Semaphore(0)
    async with judged(tmp_path, OUTPUT, CHUNKED, 5) as (gate, engine, judge):
        judge.always = gated(verdicts)
        engine.always = answer(Reply(numbered(14)))
        async with gate.opened(stream=True) as wire:
            client = Reader(wire)
            await eventually(lambda: judge.calls)
            await asyncio.sleep(0.02)
            assert b"data" not in client.body
            verdicts.release()
            await eventually(lambda: len(judge.calls) == 2)
            await eventually(client.text)
            assert client.text() == "".join(numbered(5))
            verdicts.release()
            await eventually(lambda: len(judge.calls) == 3)
            await eventually(lambda: len(client.text()) > 50)
            assert client.text() == "".join(numbered(9))
            for _ in range(5):
                verdicts.release()
            await client.end()
            assert client.text() == "".join(numbered(14))


async def test_chunked_the_head_of_what_straddles_two_windows_leaves_and_no_more(tmp_path: Path) -> None:
    async with judged(tmp_path, OUTPUT, CHUNKED) as (gate, engine, _):
        engine.always = unending(Reply([*([TEN] * 4), "more a poi", "son, after"] + [TEN] * 8))
        reply = await gate.chat(stream=True, stream_options={"include_usage": True})
        assert (reply.text(), reply.finish()) == (TEN * 4 + "more a poi", "content_filter")
        assert all("delta" in choice for event in reply.events for choice in event["choices"])
        assert reply.events[-1]["usage"]["completion_tokens"] > 0
        await eventually(engine.calls[0].left.is_set)
        assert gate.total("portico_moderation_decisions_total", direction="output", tier="judge", action="block") == 1
        assert "poison" not in gate.log_text()


async def test_async_text_leaves_at_once_and_a_late_verdict_ends_the_stream(tmp_path: Path) -> None:
    verdicts = asyncio.Semaphore(0)
    async with judged(tmp_path, OUTPUT, ASYNC, 5) as (gate, engine, judge):
        judge.always = gated(verdicts)
        engine.always = unending(Reply([TEN, BAD, *([TEN] * 18)]))
        async with gate.opened(stream=True) as wire:
            client = Reader(wire)
            await eventually(lambda: len(client.text()) == 100)
            await asyncio.sleep(0.02)
            assert client.text() == TEN + BAD + TEN * 8, "two windows ahead of the verdicts, and no more"
            verdicts.release()
            await client.end()
            assert client.text() == TEN + BAD + TEN * 8
            assert client.events[-1]["choices"][0]["finish_reason"] == "content_filter"
            assert client.body.endswith(b"data: [DONE]\n\n")
        await eventually(engine.calls[0].left.is_set)
        await eventually(gate.log_lines)
        assert gate.log_lines()[-1]["completion_tokens"] > 0


async def test_async_the_end_waits_for_the_last_verdict(tmp_path: Path) -> None:
    verdicts = asyncio.Semaphore(0)
    async with judged(tmp_path, OUTPUT, ASYNC, 5) as (gate, engine, judge):
        judge.always = gated(verdicts)
        engine.always = answer(Reply([TEN, BAD]))
        async with gate.opened(stream=True) as wire:
            client = Reader(wire)
            await eventually(lambda: client.text() == TEN + BAD)
            await eventually(lambda: judge.calls)
            assert gate.parts.engines["one"].in_flight == 0
            verdicts.release()
            await client.end()
            assert [e["choices"][0]["finish_reason"] for e in client.events if e["choices"]][-1] == "content_filter"


@pytest.mark.parametrize("stream", [CHUNKED, ASYNC])
async def test_reasoning_leaves_whole_or_not_at_all(tmp_path: Path, stream: str) -> None:
    async with judged(tmp_path, OUTPUT, stream) as (gate, engine, judge):
        engine.always = answer(Reply([TEN] * 3, reasoning=[*([TEN] * 30), BAD, TEN]))
        reply = await gate.chat(stream=True)
        assert (reply.text("reasoning"), reply.text(), reply.finish()) == ("", "", "content_filter")
        assert TEN * 30 + BAD in judged_texts(judge)[0]


@pytest.mark.parametrize("stream", [CHUNKED, ASYNC])
async def test_each_choice_for_itself(tmp_path: Path, stream: str) -> None:
    async with judged(tmp_path, OUTPUT, stream) as (gate, engine, _):
        bad = Reply([*([TEN] * 6), BAD, *([TEN] * 13)])
        engine.always = answer(Reply([TEN] * 20, others={1: bad}), delay_s=0.002)
        reply = await gate.chat(stream=True, n=2)
        assert (reply.text(index=0), reply.finish(0)) == (TEN * 20, "stop")
        assert reply.finish(1) == "content_filter"
        assert len(reply.text(index=1)) < 200
        if stream == CHUNKED:
            assert reply.text(index=1) == TEN * 5


async def test_an_answer_ends_when_all_its_choices_have(tmp_path: Path) -> None:
    async with judged(tmp_path, OUTPUT, CHUNKED) as (gate, engine, _):
        engine.always = unending(Reply([BAD, *([TEN] * 9)], others={1: Reply([TEN, BAD, *([TEN] * 8)])}))
        reply = await gate.chat(stream=True, n=2, stream_options={"include_usage": True})
        assert (reply.finish(0), reply.finish(1)) == ("content_filter", "content_filter")
        assert [bool(event["choices"]) for event in reply.events].count(False) == 1
        await eventually(engine.calls[0].left.is_set)


@pytest.mark.parametrize("stream", [CHUNKED, ASYNC, "mode: full"])
async def test_calls_are_judged_with_their_names(tmp_path: Path, stream: str) -> None:
    tool = {"type": "function", "function": {"name": "poison"}}
    async with judged(tmp_path, OUTPUT, stream) as (gate, engine, judge):
        engine.always = answer(Reply([TEN], tool_calls=(("poison", json.dumps({"x": TEN})),)))
        reply = await gate.chat(stream=True, tools=[tool])
        assert reply.finish() == "content_filter"
        assert any("poison" in one and TEN in one for one in judged_texts(judge))
        engine.always = answer(Reply([TEN], tool_calls=(("f", json.dumps({"x": [TEN] * 20})),)))
        reply = await gate.chat(stream=True, tools=[tool])
        assert reply.finish() == "tool_calls"
        calls = [
            one
            for event in reply.events
            for choice in event["choices"]
            for one in choice["delta"].get("tool_calls", ())
        ]
        assert json.loads("".join(one["function"].get("arguments", "") for one in calls)) == {"x": [TEN] * 20}


@pytest.mark.parametrize("stream", [CHUNKED, ASYNC])
async def test_an_unstreamed_answer_is_judged_whole(tmp_path: Path, stream: str) -> None:
    async with judged(tmp_path, OUTPUT, stream) as (gate, engine, judge):
        engine.always = answer(Reply([TEN] * 20, reasoning="Hm."))
        reply = await gate.chat()
        assert (reply.text(), reply.text("reasoning")) == (TEN * 20, "Hm.")
        assert len(judge.calls) == 1
        engine.always = answer(Reply([TEN] * 20 + [BAD]))
        reply = await gate.chat()
        assert (reply.text(), reply.finish()) == ("", "content_filter")
        assert reply.json["usage"]["completion_tokens"] > 0


async def test_a_completion(tmp_path: Path) -> None:
    async with judged(tmp_path, OUTPUT, CHUNKED) as (gate, engine, _):
        engine.always = answer(Reply([*([TEN] * 7), BAD, TEN]))
        reply = await gate.complete(stream=True)
        assert reply.text("text") == TEN * 5
        assert reply.events[-1]["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("stream", [CHUNKED, ASYNC])
async def test_without_a_first_verdict_and_without_a_later_one(tmp_path: Path, stream: str) -> None:
    async with judged(tmp_path, OUTPUT, stream) as (gate, engine, judge):
        engine.always = unending(Reply(numbered(20)))
        judge.always = error(500)
        reply = await gate.chat(stream=True)
        if stream == CHUNKED:
            assert (reply.status, reply.error["code"]) == (503, "moderation_unavailable")
        judge.plan(judging())
        reply = await gate.chat(stream=True, seed=1)
        assert reply.status == 200
        assert json.loads(reply.payloads[-1])["error"]["code"] == "moderation_unavailable"
        assert b"[DONE]" not in reply.body
        await eventually(lambda: all(call.left.is_set() for call in engine.calls))


async def test_an_engine_waits_for_its_judges(tmp_path: Path) -> None:
    verdicts = asyncio.Semaphore(0)
    async with judged(tmp_path, OUTPUT, CHUNKED, 5) as (gate, engine, judge):
        judge.always = gated(verdicts)
        engine.always = answer(Reply(numbered(20_000)))
        async with gate.opened(stream=True) as wire:
            client = Reader(wire)
            await eventually(lambda: engine.paused)
            assert len(judge.calls) == 1
            assert client.text() == ""
            assert not engine.calls[0].finished
            wire.leave()
        await eventually(lambda: not gate.parts.gateway.trips)
        await eventually(engine.calls[0].left.is_set)


async def test_what_escalates_is_judged_from_there_on(tmp_path: Path) -> None:
    async with judged(tmp_path, f"{OUTPUT}, when: escalate", CHUNKED) as (gate, engine, judge):
        engine.always = answer(Reply([BAD, *([TEN] * 10), "a hint of ", *([TEN] * 10)]))
        reply = await gate.chat(stream=True)
        assert reply.finish() == "stop"
        shown = judged_texts(judge)
        assert shown and not any("poison" in one for one in shown)
        assert any("a hint of" in one for one in shown)


async def test_usage_is_told_to_those_who_asked(tmp_path: Path) -> None:
    for stream in ("mode: full", CHUNKED, ASYNC):
        async with judged(tmp_path, OUTPUT, stream) as (gate, engine, _):
            engine.always = answer(Reply([BAD, *([TEN] * 20)]))
            reply = await gate.chat(stream=True)
            assert reply.finish() == "content_filter"
            assert not [event for event in reply.events if event.get("usage")]
            assert not [event for event in reply.events if not event["choices"]]


async def test_the_strictest_policy_decides(tmp_path: Path) -> None:
    """A request adds a policy that judges as text leaves; the server's own judges it whole."""
    rules = "judges: [{engine: two, policy_text: rules.md, directions: [output], categories: [illicit]}]\nversion: 1"
    write(tmp_path / "rules.md", "No poison.")
    for name, mode in (("own", "mode: full"), ("more", ASYNC)):
        write(tmp_path / f"{name}.yaml", f"name: {name}\n{rules}\nstream: {{{mode}}}")
    models = {MODEL: {"engines": ["one"], "context_length": 4096}, "g": {"engines": ["two"], "context_length": 4096}}
    moderation = {"policy": str(tmp_path / "own.yaml"), "folder": str(tmp_path)}
    async with EngineDouble() as engine, EngineDouble() as judge:
        judge.always = judging()
        engine.always = answer(Reply([*([TEN] * 20), BAD]))
        async with portico(engine, judge, models=models, moderation=moderation) as gate:
            reply = await gate.chat(stream=True, guardrails=["more"])
            assert (reply.text(), reply.finish()) == ("", "content_filter")


async def test_a_client_that_leaves_while_a_window_is_judged(tmp_path: Path) -> None:
    async with judged(tmp_path, OUTPUT, CHUNKED) as (gate, engine, judge):
        judge.always = hang()
        engine.always = unending(Reply([TEN] * 10))
        async with gate.opened(stream=True):
            await eventually(lambda: judge.calls)
        await eventually(lambda: not gate.parts.gateway.trips)
        await eventually(engine.calls[0].left.is_set)
        assert gate.log_lines()[-1]["outcome"] == "client_gone"
        assert gate.parts.engines["one"].in_flight == 0
