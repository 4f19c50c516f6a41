"""Clients and engines that send one head like the other: whatever comes then is understood as by the parser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from server.known_head import KnownHead
from tests.behaviour.engine_double import EngineDouble, Exchange, Script, answer, breaks, raw
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, eventually, portico
from tests.behaviour.wire import Wire

BODY = json.dumps({"model": MODEL, "messages": MESSAGES}).encode()
LONGER = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "你好" * 200}]}).encode()


def head(body: bytes, *, key: str = KEY, length: int | None = None, more: bytes = b"") -> bytes:
    known = b"POST %b HTTP/1.1\r\nhost: t\r\nauthorization: Bearer %b\r\ncontent-type: application/json\r\n%b" % (
        CHAT.encode(),
        key.encode(),
        more,
    )
    return known + b"content-length: %d\r\n\r\n" % (len(body) if length is None else length)


@pytest.fixture
def recognised(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The bodies that were read without a parser."""
    bodies: list[bytes] = []
    read = KnownHead.body

    def body(self: KnownHead, message: bytes) -> bytes | None:
        found = read(self, message)
        if found is not None:
            bodies.append(found)
        return found

    monkeypatch.setattr(KnownHead, "body", body)
    yield bodies


async def test_a_head_is_parsed_once(recognised: list[bytes]) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        ids: set[str] = set()
        for body in (BODY, BODY, LONGER, b"{", BODY):
            await wire.send(head(body) + body)
            reply = await wire.reply()
            assert reply.status == (400 if body == b"{" else 200)
            ids.add(reply.headers["x-request-id"])
        assert len(ids) == 5
        assert [one for one in recognised if one in (BODY, LONGER, b"{")] == [BODY, LONGER, b"{", BODY]
        assert [call.json["messages"][0]["content"] for call in engine.calls] == [
            json.loads(body)["messages"][0]["content"] for body in (BODY, BODY, LONGER, BODY)
        ]
        assert len(recognised) > 4, "the engine's answers too"


async def test_other_heads_in_between() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        for _ in range(2):
            await wire.send(head(BODY) + BODY)
            assert (await wire.reply()).status == 200
        await wire.send(head(BODY, key="sk-wrong") + BODY)
        assert (await wire.reply()).status == 401
        await wire.send(head(BODY) + BODY)
        assert (await wire.reply()).status == 200
        await wire.send(head(BODY) + BODY[:20])
        await asyncio.sleep(0.02)
        await wire.send(BODY[20:])
        assert (await wire.reply()).status == 200
        await wire.send(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert (await wire.reply()).status == 200
        await wire.send(2 * (head(BODY) + BODY))
        assert [(await wire.reply()).status for _ in range(2)] == [200, 200]
        await wire.send(head(BODY) + BODY)
        assert (await wire.reply()).status == 200
        assert len(engine.calls) == 7
        await wire.send(head(BODY, length=len(BODY) - 1) + BODY)  # and what follows is no request
        assert [(await wire.reply()).status for _ in range(2)] == [400, 400]
        assert await wire.rest() == b""


async def test_bounds_hold_for_known_heads(recognised: list[bytes]) -> None:
    async with EngineDouble() as engine, portico(engine, server={"max_body_bytes": 2000}) as gate:
        async with Wire(gate.port) as wire:
            for body in (BODY, b" " * 2001, BODY):
                await wire.send(head(body) + body)
                assert (await wire.reply()).status == (413 if len(body) > 2000 else 200)
        assert b" " * 2001 in recognised


async def test_a_client_with_a_head_of_its_own_each_time(recognised: list[bytes]) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        for number in range(12):
            trace = b"traceparent: 00-%032x-%016x-01\r\n" % (number + 1, number + 1)
            await wire.send(head(BODY, more=trace) + BODY)
            assert (await wire.reply()).status == 200
            assert engine.calls[-1].headers["traceparent"].split("-")[1] == f"{number + 1:032x}"
        assert BODY not in recognised


async def test_a_stream_and_a_client_that_leaves() -> None:
    streamed = json.dumps({"model": MODEL, "messages": MESSAGES, "stream": True}).encode()
    async with EngineDouble() as engine, portico(engine) as gate:
        async with Wire(gate.port) as wire:
            for _ in range(3):
                await wire.send(head(streamed) + streamed)
                assert (await wire.reply()).text() == "Hello there, friend."
            engine.plan(answer(delay_s=5))
            await wire.send(head(streamed) + streamed)
            await eventually(lambda: len(engine.calls) == 4)
        await eventually(lambda: gate.log_lines()[-1]["outcome"] == "client_gone")


def sends(*pieces: bytes) -> Script:
    """These bytes, and the connection stays open."""

    async def script(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.send(piece)
            await asyncio.sleep(0.02)

    return script


def whole(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
        more,
        len(body),
        body,
    )


async def test_answers_of_engines(recognised: list[bytes]) -> None:
    """Cut, too long, broken off, closed: after a good one they fail as if it were the first."""
    reply: dict[str, Any] = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }  # fmt: skip
    good = json.dumps(reply).encode()
    async with EngineDouble() as engine, portico(engine) as gate:

        async def ask(*script: Any) -> int:
            engine.plan(*script)
            return (await gate.chat()).status

        for _ in range(3):
            assert await ask(sends(whole(good))) == 200
        assert recognised.count(good) == 2
        assert await ask(raw(whole(good)[:-9])) == 502
        assert await ask(sends(whole(good))) == 200
        assert await ask(sends(whole(good)[:-9], whole(good)[-9:])) == 200
        assert await ask(sends(whole(b"{"))) == 502
        assert await ask(raw(whole(good, b"connection: close\r\n"))) == 200
        assert await ask(sends(whole(good) + b"HTTP/1.1 200 OK\r\n")) == 200
        assert await ask(breaks()) in (200, 502)
        assert await ask(sends(whole(good))) == 200
