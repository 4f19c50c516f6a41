"""Requests that are hardly HTTP, and bounds on the head."""

from __future__ import annotations

import asyncio
import json

import pytest

from server.api import protocol
from tests.behaviour.engine_double import EngineDouble, answer
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, eventually, portico
from tests.behaviour.wire import Wire

BODY = json.dumps({"model": MODEL, "messages": MESSAGES}).encode()
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST " + CHAT.encode() + b" HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST " + CHAT.encode() + b" HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST " + CHAT.encode() + b" HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: a\x00b\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    ],
)
async def test_not_http(data: bytes) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        async with Wire(gate.port) as wire:
            await wire.send(data)
            reply = await wire.reply()
            assert reply.status == 400
            assert reply.error["type"] == "invalid_request_error"
            assert await wire.rest() == b""
        assert (await gate.chat()).status == 200
        assert len(engine.calls) == 1


async def test_head_size() -> None:
    async with EngineDouble() as engine, portico(engine, server={"max_header_bytes": 2048}) as gate:
        async with Wire(gate.port) as wire:
            await wire.send(b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 3000 + b"\r\n\r\n")
            reply = await wire.reply()
            assert (reply.status, reply.error["code"]) == (431, "headers_too_large")
        async with Wire(gate.port) as wire:  # without an end, in pieces
            await wire.send(b"GET /healthz HTTP/1.1\r\n")
            for number in range(60):
                await wire.send(b"x-%d: %b\r\n" % (number, b"a" * 50))
                if number > 50:
                    break
            assert (await wire.reply()).status == 431
        async with Wire(gate.port) as wire:  # a second request on the same connection
            await wire.send(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert (await wire.reply()).status == 200
            await wire.send(b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 3000 + b"\r\n\r\n")
            assert (await wire.reply()).status == 431
        large = {"model": MODEL, "messages": [{"role": "user", "content": "x" * 5000}]}
        assert (await gate.request("POST", CHAT, large)).status == 200


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\n\r\n"])
async def test_a_head_that_does_not_end(first: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.2)
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        if first:
            await wire.send(first)
            assert (await wire.reply()).status == 200
        await wire.send(b"GET /healthz HT")
        closed = asyncio.create_task(wire.rest())
        await eventually(closed.done, 2)


async def test_a_body_in_pieces_and_in_chunks() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        async with Wire(gate.port) as wire:
            await wire.send(HEAD + b"content-length: %d\r\n\r\n" % len(BODY))
            for at in range(0, len(BODY), 7):
                await wire.send(BODY[at : at + 7])
            assert (await wire.reply()).status == 200
        async with Wire(gate.port) as wire:
            await wire.send(HEAD + b"transfer-encoding: chunked\r\n\r\n")
            for at in range(0, len(BODY), 7):
                await wire.send(b"%x\r\n%b\r\n" % (len(BODY[at : at + 7]), BODY[at : at + 7]))
            await wire.send(b"0\r\n\r\n")
            assert (await wire.reply()).status == 200


async def test_a_chunked_body_that_is_too_large() -> None:
    settings = {"max_body_bytes": 2000}
    async with EngineDouble() as engine, portico(engine, server=settings) as gate, Wire(gate.port) as wire:
        await wire.send(HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"7d0\r\n" + b" " * 2000 + b"\r\n1\r\n \r\n")
        assert (await wire.reply()).status == 413


async def test_a_body_that_does_not_come() -> None:
    async with EngineDouble() as engine, portico(engine, server={"client_timeout_s": 0.2}) as gate:
        async with Wire(gate.port) as wire:
            await wire.send(HEAD + b"content-length: 100\r\n\r\n{")
            reply = await wire.reply()
            assert (reply.status, reply.error["code"]) == (408, "request_timeout")
            assert await wire.rest() == b""
        assert gate.log_lines()[-1]["outcome"] == "timeout"


async def test_a_client_that_leaves_before_its_body_is_there() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        async with Wire(gate.port) as wire:
            await wire.send(HEAD + b"content-length: 100\r\n\r\n{")
        await eventually(gate.log_lines)
        assert (gate.log_lines()[0]["status"], gate.log_lines()[0]["outcome"]) == (499, "client_gone")
        assert engine.calls == []


async def test_expect_continue() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        await wire.send(HEAD + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert await wire.head() == 100
        await wire.send(BODY)
        assert (await wire.reply()).status == 200


async def test_requests_one_after_the_other_on_one_connection() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        for number in range(6):
            if number % 3 == 2:
                await wire.request("POST", CHAT, b"{")
                assert (await wire.reply()).status == 400
            else:
                await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "stream": bool(number % 2)})
                assert (await wire.reply()).text() == "Hello there, friend."
        await wire.send(2 * (HEAD + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)))  # pipelined
        assert (await wire.reply()).status == 200
        assert (await wire.reply()).status == 200
        assert len({call.connection for call in engine.calls}) == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "behind", [HEAD + b"x: %b\r\ncontent-length: 3\r\n\r\nabc" % (b"a" * 3000), b"\x00\x01nonsense\r\n\r\n"]
)
async def test_a_bad_request_behind_an_open_one(behind: bytes, stream: bool) -> None:
    """The open call gets its whole answer and nothing else; then the connection closes."""
    body = json.dumps({"model": MODEL, "messages": MESSAGES, "stream": stream}).encode()
    async with EngineDouble() as engine, portico(engine, server={"max_header_bytes": 2048}) as gate:
        engine.plan(answer(delay_s=0.05))
        async with Wire(gate.port) as wire:
            await wire.send(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
            await eventually(lambda: engine.calls)
            await wire.send(behind)
            reply = await wire.reply()
            assert (reply.status, reply.text()) == (200, "Hello there, friend.")
            assert await wire.rest() == b""
        assert len(engine.calls) == 1
        assert [line["outcome"] for line in gate.log_lines()] == ["invalid", "ok"]


@pytest.mark.parametrize("path", [CHAT + "?api-version=1", "/v1/chat%2Fcompletions", "http://host" + CHAT])
async def test_other_ways_to_write_a_path(path: str) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        assert (await gate.request("POST", path, {"model": MODEL, "messages": MESSAGES})).status == 200


async def test_an_upgrade_is_not_made() -> None:
    """Java's client offers HTTP/2 with every first request."""
    upgrade = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        for cut in (0, 40, len(HEAD + upgrade), -3):
            data = HEAD + upgrade + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
            await wire.send(data[:cut])
            await asyncio.sleep(0.02)
            await wire.send(data[cut:])
            assert (await wire.reply()).text() == "Hello there, friend."
            await wire.send(b"GET /healthz HTTP/1.1\r\n" + upgrade + b"\r\n")
            assert (await wire.reply()).status == 200
        await wire.send(b"GET /healthz HTTP/1.1\r\nconnection: close, Upgrade\r\nupgrade: h2c\r\n\r\n")
        assert (await wire.reply()).status == 200
        assert await wire.rest() == b""


async def test_what_is_refused_before_it_is_a_request_is_counted_and_logged() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        async with Wire(gate.port) as wire:
            await wire.send(b"nonsense\r\n\r\n")
            reply = await wire.reply()
        (line,) = gate.log_lines()
        assert (line["id"], line["status"], line["outcome"]) == (reply.headers["x-request-id"], 400, "invalid")
        assert reply.headers["openai-version"] == "2020-10-01"
        assert gate.total("portico_requests_total", endpoint="unknown", outcome="invalid") == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_http_1_0(stream: bool) -> None:
    """No chunks: the end of the connection is the end of the answer."""
    body = json.dumps({"model": MODEL, "messages": MESSAGES, "stream": stream}).encode()
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        await wire.send(HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        head, _, text = (await wire.rest()).partition(b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"transfer-encoding" not in head
        assert b"friend" in text
        assert text.endswith(b"data: [DONE]\n\n") if stream else json.loads(text)


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/nothing"])
async def test_head_has_no_body(path: str) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        await wire.request("HEAD", path)
        assert (await wire.reply(method="HEAD")).status in (404, 405)
        await wire.request("GET", "/healthz")
        assert (await wire.reply()).status == 200


async def test_health_needs_no_key_and_says_nothing() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for path in ("/healthz", "/readyz"):
            reply = await gate.request("GET", path, key=None)
            assert (reply.status, reply.json) == (200, {"status": "ok"})
        engine.healthy = False
        await engine.stop()
        await gate.chat()
        await eventually(lambda: not any(one.up for one in gate.parts.engines.values()))
        assert (await gate.request("GET", "/healthz", key=None)).status == 200
        reply = await gate.request("GET", "/readyz", key=None)
        assert (reply.status, reply.json) == (503, {"status": "unavailable"})


@pytest.mark.parametrize("ready", [True, False])
async def test_monitors_that_ask_by_head(ready: bool) -> None:
    async with EngineDouble() as engine:
        engine.healthy = ready
        async with portico(engine, ready=ready) as gate, Wire(gate.port) as wire:
            for path, status in (("/healthz", 200), ("/readyz", 200 if ready else 503), ("/healthz", 200)):
                await wire.request("HEAD", path, key=None)
                assert (await wire.reply(method="HEAD")).status == status
