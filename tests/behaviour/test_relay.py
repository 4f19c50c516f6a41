"""The first event before the status, errors after it, and comments while an engine is silent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.behaviour import vllm
from tests.behaviour.engine_double import EngineDouble, Exchange, answer, breaks, error, error_event, flood, hang, raw
from tests.behaviour.serving import CHAT, COMPLETIONS, MESSAGES, MODEL, portico

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ERROR = {"error": {"message": "boom", "type": "InternalServerError", "param": None, "code": 500}}


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (error(500), 502),
        (error(400, "bad"), 400),
        (error(503), 503),
        (error_event(0, ERROR), 502),
        (error_event(0, {"error": {"message": "bad", "type": "BadRequestError", "code": 400}}), 400),
        (breaks(0, how="end"), 502),
        (breaks(0, how="close"), 502),
        (raw(HEAD + b"5\r\nhello\r\n0\r\n\r\n"), 502),
        (raw(HEAD + b"f\r\ndata: garbage\n\n\r\n0\r\n\r\n"), 502),
        (raw(HEAD + b"zz\r\n"), 502),
        (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\ndata: [DONE]\n\n"), 502),
        (raw(b"x-endless: " + b"a" * 70_000, b"\r\n" + b"b" * 70_000, b"c" * 70_000), 502),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, b"x: y\r\n" * 20_000), 502),
    ],
)
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_an_early_failure_is_a_status(script: Any, status: int, path: str) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(script)
        async with gate.opened(path, stream=True) as wire:
            reply = await wire.reply()
        assert reply.status == status, reply.body
        assert reply.headers["content-type"] == "application/json"
        assert gate.log_lines()[-1]["status"] == status
        assert (await gate.chat()).status == 200


@pytest.mark.parametrize(
    "script",
    [
        breaks(3, how="reset"),
        breaks(3, how="close"),
        breaks(3, how="end"),
        error_event(3, ERROR),
        error_event(3, ERROR, pause_s=0.05),
        error_event(3, {"object": "error", "message": "boom", "code": 500}),
        error_event(3, "nonsense"),
    ],
)
async def test_a_late_failure_is_an_event_and_the_end(script: Any) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.plan(script, script)
        reply = await gate.chat(stream=True)
        assert reply.status == 200
        *events, last = [json.loads(payload) for payload in reply.payloads]
        assert len(events) == 3
        assert sorted(last["error"]) == ["code", "message", "param", "type"]
        assert last["error"]["code"] == "engine_error"
        assert "boom" not in last["error"]["message"]
        assert (gate.log_lines()[-1]["status"], gate.log_lines()[-1]["outcome"]) == (200, "engine_error")
        assert gate.metric("portico_requests_total", model=MODEL, endpoint="chat.completions", outcome="engine_error")
        with pytest.raises(openai.APIError):
            async for _ in await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):  # type: ignore[call-overload]
                pass


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_whole_answer_that_breaks_off(how: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head(200, "application/json", 1000)
        await exchange.send(b'{"id"')
        await asyncio.sleep(0.05)
        exchange.reset() if how == "reset" else exchange.close()

    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(script)
        reply = await gate.chat()
        assert (reply.status, reply.error["code"]) == (502, "engine_error")
        assert len(engine.calls) == 1  # the answer had begun: not asked again


async def test_an_answer_that_ends_with_the_connection() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        whole = vllm.unary(vllm.Reply("yes"), {"model": MODEL})
        engine.plan(raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + whole))
        assert (await gate.chat()).text() == "yes"
        events = b"".join(vllm.event(one) for one in vllm.stream(vllm.Reply("yes"), {"model": MODEL})) + vllm.DONE
        engine.plan(raw(b"HTTP/1.1 200 OK\r\n\r\n" + events[:100], events[100:], pause_s=0.02))
        assert (await gate.chat(stream=True)).text() == "yes"
        engine.plan(raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + events))
        assert (await gate.chat(stream=True)).text() == "yes"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16])
async def test_pieces_of_any_size(size: int) -> None:
    body = b"".join(vllm.event(one) for one in vllm.stream(vllm.DEFAULT, {"model": MODEL})) + vllm.DONE
    wire = HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    wire = wire.replace(b"\n\n", b"\r\n\r\n") if size == 3 else wire
    if size == 3:
        body = body.replace(b"\n\n", b"\r\n\r\n")
        wire = HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(raw(*[wire[at : at + size] for at in range(0, len(wire), size)], then_close=False))
        assert (await gate.chat(stream=True)).text() == "Hello there, friend."


async def test_comments_while_the_engine_is_silent() -> None:
    async with EngineDouble() as engine, portico(engine, server={"first_event_grace_s": 0.3}) as gate:
        for script in (answer(delay_s=0.7), hang()):
            engine.plan(script)
            async with gate.opened(stream=True) as wire:
                assert await asyncio.wait_for(wire.head(), 1.5) == 200
                async for part in wire.parts():
                    assert part == b": keep-alive\n\n"
                    break
        engine.plan(answer("Hi", delay_s=0.6))
        body = (await gate.chat(stream=True)).body
        assert body.count(b": keep-alive\n\n") >= 3
        assert body.endswith(b"data: [DONE]\n\n")


async def test_an_error_after_comments_is_an_event() -> None:
    async def late(exchange: Exchange) -> None:
        await asyncio.sleep(0.8)
        await error(500)(exchange)

    async with EngineDouble() as engine, portico(engine, server={"first_event_grace_s": 0.2}) as gate:
        engine.plan(late)
        reply = await gate.chat(stream=True)
        assert reply.status == 200
        assert json.loads(reply.payloads[-1])["error"]["code"] == "engine_error"


async def test_events_go_out_as_they_come() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(hang(3))
        async with gate.opened(stream=True) as wire:
            await asyncio.wait_for(wire.head(), 0.25)
            got = b""
            async for part in wire.parts():
                got += part
                if got.count(b"data: ") == 3:
                    break


async def test_a_huge_answer() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(flood(2000, "x" * 5000), answer(vllm.Reply("y" * 12_000_000)))
        assert len((await gate.chat(stream=True)).text()) == 10_000_000
        assert len((await gate.chat()).text()) == 12_000_000


async def test_an_event_without_end() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.head()
        while not exchange.call.left.is_set():
            await exchange.part(b"data: " + b"x" * 1_000_000)

    async with EngineDouble() as engine, portico(engine, server={"first_event_grace_s": 9}) as gate:
        engine.plan(endless)
        reply = await gate.chat(stream=True)
        assert (reply.status, reply.error["code"]) == (502, "engine_error")


async def test_done_ends_the_answer_even_if_the_engine_does_not() -> None:
    async def open_ended(exchange: Exchange) -> None:
        await exchange.head()
        for event in vllm.stream(vllm.DEFAULT, exchange.call.json):
            await exchange.event(event)
        await exchange.part(vllm.DONE)
        await exchange.hang()

    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(open_ended)
        assert (await asyncio.wait_for(gate.chat(stream=True), 3)).text() == "Hello there, friend."
