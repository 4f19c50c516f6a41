"""The client that asks an engine one thing, over a real server."""

from __future__ import annotations

import asyncio

import pytest

from server.config import Engine
from server.engines.ask import EngineAsk
from server.watchdog import Watchdog
from tests.behaviour.engine_double import EngineDouble, Exchange, breaks, hang, raw
from tests.moderation.judges.judging import bench, says, until


async def test_a_question_and_its_answer() -> None:
    async with bench() as at:

        async def script(exchange: Exchange) -> None:
            await exchange.head(418, "application/json")
            for piece in (b'{"a', b'":', b"1}"):
                await exchange.part(piece)
            await exchange.end()

        at.engine.always = script
        answer = await at.ask.post("/chat/completions", b'{"x":1}', within_s=20)
        assert answer == (418, b'{"a":1}', True)
        call = at.engine.calls[0]
        assert (call.path, call.body) == ("/v1/chat/completions", b'{"x":1}')
        assert call.headers["authorization"] == "Bearer a key"
        assert call.headers["content-type"] == "application/json"
        assert call.headers["x-request-id"].startswith("ask-")
        await at.ask.post("/pooling", b"{}", at_root=True, within_s=20)
        assert [one.path for one in at.engine.calls] == ["/v1/chat/completions", "/pooling"]
        assert len({one.connection for one in at.engine.calls}) == 1


async def test_a_kept_connection_that_was_closed_meanwhile() -> None:
    async with bench() as at:
        at.engine.always = says()
        await at.ask.post("/a", b"{}", within_s=20)
        at.engine.plan(breaks())  # closes it when the question is there
        assert (await at.ask.post("/b", b"{}", within_s=20)).status == 200
        assert [one.path for one in at.engine.calls] == ["/v1/a", "/v1/b", "/v1/b"]
        at.engine.plan(hang(), breaks())
        fresh = asyncio.create_task(at.ask.post("/c", b"{}", within_s=20))  # takes the kept connection
        await until(at, 4)
        with pytest.raises(ConnectionError):  # a new one that breaks is not tried again
            await at.ask.post("/d", b"{}", within_s=20)
        assert len(at.engine.calls) == 5
        fresh.cancel()


@pytest.mark.parametrize(
    "script",
    [
        breaks(),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000),
    ],
    ids=["reset", "short", "chunks without end", "another protocol", "no chunk", "endless head"],
)
async def test_a_broken_connection(script: object) -> None:
    async with bench() as at:
        at.engine.always = script  # type: ignore[assignment]
        with pytest.raises(ConnectionError):
            await at.ask.post("/x", b"{}", within_s=20)


async def test_nobody_there() -> None:
    engine = EngineDouble()
    await engine.start()
    await engine.stop()
    ask = EngineAsk(Engine(url=engine.url), engine.url, None, Watchdog())
    with pytest.raises(ConnectionError):
        await ask.post("/x", b"{}", within_s=20)


async def test_late_is_late_and_closes_the_connection() -> None:
    async with bench() as at:
        at.engine.always = hang()
        with pytest.raises(TimeoutError):
            await at.ask.post("/x", b"{}", within_s=0.2)
        await at.engine.calls[0].left.wait()


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async with bench(max_answer=1000) as at:

        async def script(exchange: Exchange) -> None:
            await exchange.head()
            while True:
                await exchange.part(b"x" * 500)

        at.engine.plan(script)
        answer = await at.ask.post("/x", b"{}", within_s=20)
        assert (answer.status, answer.whole) == (200, False)
        assert len(answer.body) <= 1000
        await at.engine.calls[0].left.wait()

        async def fits(exchange: Exchange) -> None:
            await exchange.whole(200, b"x" * 1000)

        at.engine.plan(fits)
        assert (await at.ask.post("/x", b"{}", within_s=20)).whole
