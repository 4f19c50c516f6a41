"""A programmable engine on a loopback port: HTTP/1.1 by hand, so that faults can be scripted byte by byte.

    async with EngineDouble() as engine:
        engine.plan(error(500, "boom"), hang())     # the next two calls
        engine.always = answer("Hello.")            # the calls after them

A script is `async (exchange) -> None`. Every call is recorded in `engine.calls`. Unscripted calls get a default answer
in the shapes of vLLM 0.32 (see vllm.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.behaviour import vllm

Script = Callable[["Exchange"], Awaitable[None]]
EVENTS = "text/event-stream; charset=utf-8"
JSON = "application/json"


@dataclass
class Recorded:
    """One call as the engine saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # number of the connection, to see which were used again
    sent: int = 0  # bytes handed to the socket
    finished: bool = False  # the script came to its end
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client closed the connection before the script had ended."""

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Exchange:
    """One call and the means to answer it well or badly."""

    def __init__(self, link: Link, call: Recorded) -> None:
        self._link = link
        self.call = call

    async def send(self, data: bytes) -> None:
        """Raw bytes; waits while the client does not read."""
        self._link.write(data)
        self.call.sent += len(data)
        await self._link.writable.wait()

    async def head(self, status: int = 200, kind: str = EVENTS, length: int | None = None) -> None:
        size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        await self.send(f"HTTP/1.1 {status} Any\r\ncontent-type: {kind}\r\n{size}\r\n\r\n".encode())

    async def part(self, data: bytes) -> None:
        """A piece of a chunked body."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, value: object) -> None:
        await self.part(vllm.event(value))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def whole(self, status: int, body: bytes, kind: str = JSON) -> None:
        await self.head(status, kind, len(body))
        await self.send(body)

    async def hang(self) -> None:
        """Until the client has left."""
        await self._link.gone.wait()

    def close(self) -> None:
        self._link.close()

    def reset(self) -> None:
        """Close with RST."""
        self._link.reset()


class Link(asyncio.Protocol):
    """One connection from the gateway."""

    def __init__(self, engine: EngineDouble, number: int) -> None:
        self._engine = engine
        self._number = number
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._transport: Any = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.gone = asyncio.Event()
        self._open: Recorded | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=16 * 1024)  # type: ignore[attr-defined]
        self._engine.links.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._engine.links.discard(self)

    def pause_writing(self) -> None:
        self.writable.clear()
        self._engine.paused += 1

    def resume_writing(self) -> None:
        self.writable.set()

    def write(self, data: bytes) -> None:
        """Raises ConnectionError once the client has left."""
        if self.gone.is_set():
            raise ConnectionResetError
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._transport.abort()

    def _leave(self) -> None:
        self.gone.set()
        self.writable.set()
        if self._open is not None and not self._open.finished:
            self._open.left.set()

    def _next(self) -> None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if self._task is not None or not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        call = Recorded(method, path, headers, rest[:length], self._number)
        self._task = asyncio.get_running_loop().create_task(self._run(call))

    async def _run(self, call: Recorded) -> None:
        self._open = call
        with contextlib.suppress(ConnectionError):
            await self._engine.answer(Exchange(self, call))
        call.finished = True
        self._task = None
        self._next()


class EngineDouble:
    """`paused` counts how often a client that did not read stopped the writing."""

    def __init__(self) -> None:
        self.calls: list[Recorded] = []  # POSTs only
        self.probes: list[Recorded] = []
        self.links: set[Link] = set()
        self.paused = 0
        self.healthy = True
        self.always: Script | None = None
        self._plan: deque[Script] = deque()
        self._server: asyncio.Server | None = None
        self._connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def plan(self, *scripts: Script) -> None:
        self._plan.extend(scripts)

    async def __aenter__(self) -> EngineDouble:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._link, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections and reset the open ones, as a killed process would."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in tuple(self.links):
            link.reset()
        await asyncio.sleep(0)

    def drop_idle(self) -> None:
        """Close the kept connections, as after the engine's own idle time."""
        for link in tuple(self.links):
            link.close()

    async def answer(self, exchange: Exchange) -> None:
        if exchange.call.method == "GET":
            self.probes.append(exchange.call)
            await exchange.whole(200 if self.healthy else 503, b'{"object":"list","data":[]}')
            return
        self.calls.append(exchange.call)
        script = self._plan.popleft() if self._plan else self.always or answer()
        await script(exchange)

    def _link(self) -> Link:
        self._connections += 1
        return Link(self, self._connections)


def answer(reply: vllm.Reply | str = vllm.DEFAULT, *, delay_s: float = 0.0, cuts: int = 0) -> Script:
    """What vLLM would send for `reply`, in the form the request asks for.

    `delay_s` passes before each event; `cuts` > 0 sends the body in pieces of so many bytes, wherever they fall.
    """
    content = vllm.Reply(reply) if isinstance(reply, str) else reply

    async def script(exchange: Exchange) -> None:
        body = exchange.call.json
        if "messages" not in body:
            await _completion(exchange, content, body)
            return
        if not body.get("stream"):
            await asyncio.sleep(delay_s)
            await exchange.whole(200, vllm.unary(content, body))
            return
        await exchange.head()
        pieces = [vllm.event(event) for event in vllm.stream(content, body)]
        if cuts:
            whole = b"".join((*pieces, vllm.DONE))
            pieces = [whole[at : at + cuts] for at in range(0, len(whole), cuts)]
        else:
            pieces.append(vllm.DONE)
        for piece in pieces:
            await asyncio.sleep(delay_s)
            await exchange.part(piece)
        await exchange.end()

    return script


async def _completion(exchange: Exchange, content: vllm.Reply, body: dict[str, Any]) -> None:
    if not body.get("stream"):
        await exchange.whole(200, vllm.completion(content, body))
        return
    await exchange.head()
    for event in vllm.completion_stream(content, body):
        await exchange.event(event)
    await exchange.part(vllm.DONE)
    await exchange.end()


def error(status: int, message: str = "boom", body: bytes | None = None) -> Script:
    """An error in vLLM's form."""

    async def script(exchange: Exchange) -> None:
        tree = {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}
        await exchange.whole(status, json.dumps(tree).encode() if body is None else body)

    return script


def raw(*pieces: bytes, pause_s: float = 0.0, then_close: bool = True) -> Script:
    """Exactly these bytes."""

    async def script(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.send(piece)
            await asyncio.sleep(pause_s)
        if then_close:
            exchange.close()
        else:
            await exchange.hang()

    return script


def hang(after: int | None = None, reply: vllm.Reply | str = vllm.DEFAULT) -> Script:
    """Silence before the head (`after` None), or after so many events of a stream."""
    content = vllm.Reply(reply) if isinstance(reply, str) else reply

    async def script(exchange: Exchange) -> None:
        if after is not None:
            await exchange.head()
            for event in vllm.stream(content, exchange.call.json)[:after]:
                await exchange.event(event)
        await exchange.hang()

    return script


def breaks(after: int | None = None, *, how: str = "reset", reply: vllm.Reply | str = vllm.DEFAULT) -> Script:
    """The connection ends before the head (`after` None) or after so many events; `how` is reset, close or end.

    `end` ends the body in good order, only without the rest and without [DONE].
    """
    content = vllm.Reply(reply) if isinstance(reply, str) else reply

    async def script(exchange: Exchange) -> None:
        if after is not None:
            await exchange.head()
            for event in vllm.stream(content, exchange.call.json)[:after]:
                await exchange.event(event)
            await asyncio.sleep(0.05)
        if how == "end":
            await exchange.end()
        elif how == "close":
            exchange.close()
        else:
            exchange.reset()

    return script


def error_event(after: int, value: object, pause_s: float = 0.0) -> Script:
    """A stream that turns into an error after so many events."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for event in vllm.stream(vllm.DEFAULT, exchange.call.json)[:after]:
            await exchange.event(event)
        await asyncio.sleep(pause_s)
        await exchange.event(value)
        await exchange.part(vllm.DONE)
        await exchange.end()

    return script


def flood(events: int, text: str) -> Script:
    """A stream of `events` long events as fast as they are taken."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        first, *_ = vllm.stream(vllm.DEFAULT, exchange.call.json)
        await exchange.event(first)
        event = vllm.event(vllm.chunk(exchange.call.json, {"content": text}))
        for _ in range(events):
            if exchange.call.left.is_set():
                return
            await exchange.part(event)
        await exchange.event(vllm.chunk(exchange.call.json, {}, finish="stop"))
        await exchange.part(vllm.DONE)
        await exchange.end()

    return script
