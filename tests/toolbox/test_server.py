"""A tool server that speaks HTTP badly, or not at all: byte by byte, over a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.config import ToolServer
from server.toolbox.server import Server

BEGUN = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
Say = Callable[[dict[str, Any]], bytes | None]


class Told:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lists: list[str] = []

    def called(self, server: str, outcome: str, seconds: float) -> None:
        self.calls.append(outcome)

    def listed(self, server: str, outcome: str) -> None:
        self.lists.append(outcome)


def answered(number: object, result: object, more: str = "") -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n".encode()
        + body
    )


@asynccontextmanager
async def served(say: Say, **settings: Any) -> AsyncIterator[tuple[Server, Told, list[dict[str, Any]]]]:
    """A server that answers each message with the bytes that `say` gives, or with silence."""
    asked: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        body = await reader.readexactly(int(lines["content-length"]))
        message = json.loads(body or b"{}") | {"headers": lines, "verb": head.split(" ")[0]}
        asked.append(message)
        said = say(message)
        if said is None:
            await reader.read()
        else:
            writer.write(said)
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/mcp"
        told = Told()
        server = Server("desk", ToolServer.model_validate({"url": url, "timeout_s": 0.5} | settings), 300, 1000, told)
        yield server, told, asked
        await server.stop()


def good(message: dict[str, Any]) -> bytes | None:
    match message.get("method"):
        case "initialize":
            return answered(message["id"], BEGUN, "mcp-session-id: abc\r\n")
        case "tools/list":
            cursor = message["params"].get("cursor")
            tool = {"name": cursor or "first", "inputSchema": {}}
            return answered(message["id"], {"tools": [tool], **({} if cursor else {"nextCursor": "second"})})
        case "tools/call":
            return answered(message["id"], {"content": [{"type": "text", "text": "done"}]})
    return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"


async def test_one_that_speaks_well() -> None:
    async with served(good) as (server, told, asked):
        listing = await server.tools()
        assert ([one.name for one in listing.tools], listing.error) == (["first", "second"], None)
        assert await server.tools() is listing
        session = server.session()
        assert await server.call(session, "first", '{"a": 1}') == ("done", None)
        assert await server.call(session, "first", "") == ("done", None)
        methods = [one.get("method") for one in asked if one["verb"] == "POST"]
        greeting = ["initialize", "notifications/initialized"]
        assert methods == [*greeting, "tools/list", "tools/list", *greeting, "tools/call", "tools/call"]
        *_, first, second = (one["params"] for one in asked if one.get("method") == "tools/call")
        assert first["_meta"] == second["_meta"]
        other = server.session()
        await server.call(other, "first", "")
        assert asked[-1]["params"]["_meta"] != first["_meta"]
        later = asked[-1]["headers"]
        assert (later["mcp-session-id"], later["mcp-protocol-version"]) == ("abc", "2025-06-18")
        assert (told.calls, told.lists) == (["ok"] * 3, ["ok"])


async def test_a_list_is_asked_for_once_by_all_who_want_it() -> None:
    async with served(good) as (server, told, _):
        first, second = await asyncio.gather(server.tools(), server.tools())
        assert first is second
        assert told.lists == ["ok"]


@pytest.mark.parametrize(
    "said, failure",
    [
        (None, "timeout"),
        (b"", "unreachable"),
        (b"nonsense\r\n\r\n", "protocol_error"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "http_error"),
        (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", "http_error"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}", "protocol_error"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{", "protocol_error"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, "too_large"),
        (answered(1, BEGUN | {"protocolVersion": "2024-11-05"}), "protocol_error"),
        (answered(1, BEGUN, "content-type: text/event-stream\r\n"), "protocol_error"),
    ],
)
async def test_ones_that_do_not(said: bytes | None, failure: str) -> None:
    async with served(lambda _: said) as (server, told, asked):
        outcome = await server.call(server.session(), "first", "{}")
        assert outcome.error is not None
        assert "127.0.0.1" not in json.dumps(outcome.error)
        listing = await server.tools()
        assert (listing.tools, listing.error) == ((), outcome.error["message"])
        assert (told.calls, told.lists) == ([failure], [failure])
        before = len(asked)
        assert await server.tools() is listing  # who is down is not asked by every request
        assert len(asked) == before


async def test_a_session_that_was_forgotten_is_begun_again_once() -> None:
    forgotten = True

    def say(message: dict[str, Any]) -> bytes | None:
        nonlocal forgotten
        if message.get("method") == "tools/call" and forgotten:
            forgotten = False
            return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
        return good(message)

    async with served(say) as (server, told, asked):
        assert await server.call(server.session(), "first", "{}") == ("done", None)
        assert [one.get("method") for one in asked].count("initialize") == 2
        assert told.calls == ["ok"]


async def test_what_the_operator_does_not_allow_is_neither_listed_nor_called() -> None:
    async with served(good, allowed_tools=["second"]) as (server, _, asked):
        assert [one.name for one in (await server.tools()).tools] == ["second"]
        asked.clear()
        assert (await server.call(server.session(), "first", "{}")).error is not None
        assert not asked


async def test_calls_beyond_its_bound_wait() -> None:
    open_now = most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        message = json.loads(await reader.readexactly(length) or b"{}")
        if message.get("method") == "tools/call":
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0.02)
            open_now -= 1
        writer.write(good(message) or b"")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/mcp"
        server = Server("desk", ToolServer(url=url, max_in_flight=2), 300, 1000, Told())
        outcomes = await asyncio.gather(*(server.call(server.session(), "first", "{}") for _ in range(6)))
        assert {one.output for one in outcomes} == {"done"}
        assert most == 2
