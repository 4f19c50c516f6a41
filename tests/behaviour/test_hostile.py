"""One connection against the gateway: what it can make it hold, and for how long. None of this needs a key."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from tests.behaviour.engine_double import EngineDouble, answer, flood, hang
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, eventually, portico
from tests.behaviour.tenants import Tenants
from tests.behaviour.wire import Wire

NO_KEY = f"POST {CHAT} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n".encode()
BODY = json.dumps({"model": MODEL, "messages": MESSAGES}).encode()
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n".encode()
NO_MODEL = HEAD + b"content-length: 2\r\n\r\n{}"
CALL = HEAD + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
SHORT: dict[str, Any] = {"client_timeout_s": 0.5, "idle_timeout_s": 0.5}


def protocols(gate: Any) -> list[Any]:
    return list(gate.connections)


async def test_requests_whose_answers_nobody_reads() -> None:
    async with EngineDouble() as engine, portico(engine, server=SHORT) as gate:
        async with Wire(gate.port, receive_buffer=4096) as wire:
            await wire.push(NO_MODEL)
            await eventually(lambda: gate.connections)
            (one,) = protocols(gate)
            for _ in range(1000):
                if one.flow.write_paused:
                    break
                await wire.push(NO_MODEL * 40)
                await asyncio.sleep(0.005)
            assert one.flow.write_paused
            await wire.push(NO_MODEL * 10_000)
            assert one.transport.get_write_buffer_size() < 1_000_000
            assert len(one.pipeline) < 100
            await eventually(lambda: not gate.connections, 5)  # and not for ever
        assert (await gate.chat()).status == 200


@pytest.mark.parametrize("behind", [NO_KEY, b"GET /healthz HTTP/1.1\r\n\r\n", CALL])
async def test_many_requests_behind_an_open_one(behind: bytes) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        engine.plan(answer(delay_s=0.1))
        await wire.push(CALL + behind * 2000)
        await eventually(lambda: engine.calls)
        (one,) = protocols(gate)
        assert len(one.pipeline) <= 64
        assert (await wire.reply()).text() == "Hello there, friend."
        assert b"HTTP/1.1 500" not in await wire.rest()  # a few more answers, then the end of the connection
        assert "bug" not in gate.log_text()


async def test_a_few_requests_behind_an_open_one_are_all_answered() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        await wire.send((CALL + NO_KEY + b"GET /healthz HTTP/1.1\r\n\r\n") * 15)
        for _ in range(15):
            assert [(await wire.reply()).status for _ in range(3)] == [200, 401, 200]


async def test_a_queued_call_finds_the_slot_of_the_one_before_it() -> None:
    settings: dict[str, Any] = {"engine": {"max_in_flight": 1}, "admission": {"max_queue": 0}}
    async with EngineDouble() as engine, portico(engine, **settings) as gate, Wire(gate.port) as wire:
        await wire.send(CALL * 3)
        assert [(await wire.reply()).status for _ in range(3)] == [200, 200, 200]


async def test_who_leaves_with_a_request_queued_is_noticed() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        engine.plan(hang())
        async with Wire(gate.port) as wire:
            await wire.send(CALL + NO_KEY)
            await eventually(lambda: engine.calls)
        await asyncio.wait_for(engine.calls[0].left.wait(), 2)
        await eventually(lambda: gate.parts.gateway.trips == set())


@pytest.mark.parametrize("path", [CHAT, "/healthz"])
@pytest.mark.parametrize("trailer", [b"x: %b\r\n" % (b"a" * 100), b"a" * 100])
async def test_trailers_without_end(path: str, trailer: bytes) -> None:
    head = HEAD.replace(CHAT.encode(), path.encode()) + b"transfer-encoding: chunked\r\n\r\n"
    settings = {"max_header_bytes": 4096}
    async with EngineDouble() as engine, portico(engine, server=settings) as gate, Wire(gate.port) as wire:
        await wire.send(head + b"2\r\n{}\r\n0\r\nx: y\r\n" + (b"z: " if trailer[:1] == b"a" else b""))
        for _ in range(100):
            await wire.push(trailer * 10)
            await asyncio.sleep(0.002)
        await eventually(lambda: not gate.connections or protocols(gate)[0]._deaf, 3)
        assert all(len(one.headers) < 20 for one in protocols(gate))


@pytest.mark.parametrize("request_", [NO_KEY, NO_KEY.replace(b"POST", b"GET"), b"GET /healthz HTTP/1.1\r\n\r\n", CALL])
async def test_an_answered_connection_is_closed_when_it_is_idle(request_: bytes) -> None:
    async with EngineDouble() as engine, portico(engine, server=SHORT) as gate, Wire(gate.port) as wire:
        await wire.send(request_)
        await wire.reply()
        assert len(gate.connections) == 1
        assert await asyncio.wait_for(wire.rest(), 2) == b""


@pytest.mark.parametrize("together", [True, False])
async def test_a_body_that_breaks_off_in_nonsense(together: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        head, rest = HEAD + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\nnonsense"
        await wire.send(head + rest if together else head)
        if not together:
            await asyncio.sleep(0.05)
            await wire.send(rest)
        reply = await asyncio.wait_for(wire.reply(), 2)
        assert reply.status == 400
        assert await wire.rest() == b""
        assert [(line["status"], line["outcome"]) for line in gate.log_lines()] == [(400, "invalid")]


async def test_half_a_request_behind_an_open_one() -> None:
    """Its body's deadline begins when its turn does, and its refusal waits for that too."""
    async with EngineDouble() as engine, portico(engine, server=SHORT) as gate, Wire(gate.port) as wire:
        engine.plan(answer(delay_s=0.3))
        body = BODY.replace(b'"messages"', b'"stream": true, "messages"')
        await wire.send(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        await eventually(lambda: engine.calls)
        await wire.send(HEAD + b"content-length: 100\r\n\r\n{")
        reply = await wire.reply()
        assert reply.text() == "Hello there, friend."
        assert reply.body.endswith(b"data: [DONE]\n\n")
        assert (await wire.reply()).status == 408


async def test_a_client_that_does_not_read_a_finished_answer() -> None:
    async with EngineDouble() as engine, portico(engine, server=SHORT) as gate:
        engine.plan(flood(600, "x" * 10_000))
        async with Wire(gate.port, receive_buffer=4096) as wire:
            await wire.send(CALL.replace(b"host: t", b"connection: close\r\nhost: t"))
            await eventually(gate.log_lines, 5)
            await eventually(lambda: not gate.connections, 5)


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    async with EngineDouble() as engine, portico(engine, server={"max_body_bytes": 2000}) as gate:
        for close in (b"", b"connection: close\r\n"):
            async with Wire(gate.port) as wire:
                await wire.push(HEAD + close + b"content-length: 20000000\r\n\r\n")
                await wire.push(b"x" * 4_000_000)
                assert (await wire.reply()).status == 413


async def test_connect_is_refused_and_many_offers_too() -> None:
    upgrade = b"GET /healthz HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    async with EngineDouble() as engine, portico(engine) as gate:
        for data in (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", upgrade * 3000):
            async with Wire(gate.port) as wire:
                await wire.push(data)
                with contextlib.suppress(ConnectionResetError):  # most of the offers were not read
                    text = await asyncio.wait_for(wire.rest(), 5)
                    assert text.count(b"HTTP/1.1 400") + text.count(b"HTTP/1.1 200") == 1
        assert "bug" not in gate.log_text()
        assert (await gate.chat()).status == 200


async def test_a_head_that_begins_within_a_large_read() -> None:
    large = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x" * 100_000}]}).encode()
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        await wire.send(HEAD + b"content-length: %d\r\n\r\n%bGET /hea" % (len(large), large))
        assert (await wire.reply()).status == 200
        await wire.send(b"lthz HTTP/1.1\r\nx: y\r\n")
        await wire.send(b"\r\n")
        assert (await wire.reply()).status == 200


async def test_tiny_chunks_cost_what_they_hold() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        await wire.send(HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % one for one in BODY))
        await eventually(lambda: protocols(gate)[0].cycle is not None)
        assert isinstance(protocols(gate)[0].cycle._body, bytearray)
        await wire.send(b"0\r\n\r\n")
        assert (await wire.reply()).status == 200


async def test_wrong_keys_wait_and_good_ones_do_not() -> None:
    wrong = CALL.replace(KEY.encode(), b"sk-wrong")
    async with EngineDouble() as engine, portico(engine) as gate, contextlib.AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(Wire(gate.port)) for _ in range(100)]
        for wire in wires:
            await wire.send(wrong * 4)
        assert (await gate.chat()).status == 200
        assert 0 < gate.total("portico_requests_total", outcome="unauthorized") < 400, "most of them wait"
        for wire in wires:
            assert [(await wire.reply()).status for _ in range(4)] == [401] * 4
        assert (await gate.chat()).status == 200


async def test_a_long_body_is_not_read_before_it_is_known_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"model": MODEL, "messages": [{"role": "user", "content": "word " * 500_000}]}
    async with EngineDouble() as engine, portico(engine) as gate, Wire(gate.port) as wire:
        secret, _ = await Tenants(gate).key()
        find, go = gate.parts.durable.find_key, asyncio.Event()

        async def slow(lookup: str) -> Any:
            await go.wait()
            return await find(lookup)

        monkeypatch.setattr(gate.parts.durable, "find_key", slow)
        sending = asyncio.create_task(wire.request("POST", CHAT, long, secret))
        await asyncio.sleep(0.2)
        (one,) = protocols(gate)
        assert one.cycle._size < 1_000_000
        go.set()
        await sending
        assert (await wire.reply()).status == 200
        assert len(engine.calls) == 1
