"""TLS on the public port: the same answers, streamed and not."""

from __future__ import annotations

from pathlib import Path

from tests.behaviour.engine_double import EngineDouble, answer, flood
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, portico
from tests.behaviour.vllm import Reply
from tests.behaviour.wire import Wire

FILES = Path(__file__).parent.parent / "data/tls"  # for these tests alone, made by openssl
TLS = {"tls": {"cert": str(FILES / "cert.pem"), "key": str(FILES / "key.pem")}}


async def test_calls_and_routes() -> None:
    async with EngineDouble() as engine, portico(engine, server=TLS) as gate, Wire(gate.port, tls=True) as wire:
        for stream in (False, True, True):
            engine.plan(answer(Reply(["a "] * 20), delay_s=0.002))
            await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "stream": stream})
            assert (await wire.reply()).text() == "a " * 20
            await wire.request("GET", "/v1/models")
            assert (await wire.reply()).json["data"][0]["id"] == MODEL


async def test_a_large_stream() -> None:
    async with EngineDouble() as engine, portico(engine, server=TLS) as gate, Wire(gate.port, tls=True) as wire:
        engine.plan(flood(300, "x" * 10_000))
        await wire.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES, "stream": True})
        await wire.head()
        count = 0
        async for part in wire.parts():
            count += len(part)
        assert count > 3_000_000
