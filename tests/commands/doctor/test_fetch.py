from __future__ import annotations

import asyncio

import pytest

from server.commands.doctor.fetch import Unreachable, fetch
from tests.behaviour.processes import free_port
from tests.commands.doctor.answering import answering


async def test_an_answer_and_the_other_clock() -> None:
    async with answering({"/v1/models": (200, {"data": []})}, ahead_s=90) as other:
        answer = await fetch(f"{other.url}/v1/models", {"authorization": "Bearer x"})
        assert (answer.status, answer.body) == (200, b'{"data": []}')
        assert answer.ahead_s == pytest.approx(90, abs=2)
        assert "authorization: Bearer x\r\n" in other.heads[0]
        assert (await fetch(f"{other.url}/elsewhere")).status == 404


async def test_nothing_listens() -> None:
    with pytest.raises(Unreachable, match="connection refused"):
        await fetch(f"http://127.0.0.1:{free_port()}/")


async def test_no_such_host() -> None:
    with pytest.raises(Unreachable, match="no such host"):
        await fetch("http://nowhere.invalid/")


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"SSH-2.0-other\r\n", "HTTP"), (b"SSH-2.0 x y\r\n\r\n", "HTTP"), (b"", "HTTP"), (b"x" * 100_000, "HTTP")],
)
async def test_something_else_answers(said: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with pytest.raises(Unreachable, match=reason):
            await fetch(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_silence_and_no_tls() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with_tls = (await reader.read(1)) == b"\x16"
        if with_tls:
            writer.write(b"HTTP/1.1 400 plain\r\n\r\n")
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"no answer within 0\.1 s"):
            await fetch(f"http://{place}/", timeout_s=0.1)
        with pytest.raises(Unreachable, match="no TLS"):
            await fetch(f"https://{place}/")
