"""A client that sees the bytes: what the official SDKs hide is tested with this."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

KEY = "sk-test-0123456789abcdef"


class Reply:
    """A whole answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error of a refusal; it must have its four keys and no others."""
        error = self.json["error"]
        assert sorted(error) == ["code", "message", "param", "type"], error
        return error

    @property
    def payloads(self) -> list[bytes]:
        events = self.body.split(b"\n\n")
        assert events[-1] == b"", "the last event is not ended"
        return [event.removeprefix(b"data: ") for event in events[:-1] if not event.startswith(b":")]

    @property
    def events(self) -> list[Any]:
        """The events of a stream that ended well, without its [DONE]."""
        *events, done = self.payloads
        assert done == b"[DONE]", done
        return [json.loads(event) for event in events]

    def text(self, field: str = "content", index: int = 0) -> str:
        """The text of one choice: put together from a stream, or out of a whole answer."""
        if self.headers["content-type"].startswith("text/event-stream"):
            choices = [one for event in self.events for one in event["choices"] if one["index"] == index]
            if field == "text":
                return "".join(choice["text"] for choice in choices)
            return "".join(choice["delta"].get(field) or "" for choice in choices)
        choice = next(one for one in self.json["choices"] if one["index"] == index)
        return (choice["text"] if field == "text" else choice["message"].get(field)) or ""

    def finish(self, index: int = 0) -> str | None:
        choices = self.events if self.headers["content-type"].startswith("text/event-stream") else [self.json]
        reasons = [c["finish_reason"] for event in choices for c in event["choices"] if c["index"] == index]
        ends = [reason for reason in reasons if reason]
        assert len(ends) <= 1, ends
        return ends[0] if ends else None


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Wire:
    """One connection. Use as `async with`."""

    def __init__(self, port: int, *, receive_buffer: int = 0, tls: bool = False) -> None:
        self._port = port
        self._receive_buffer = receive_buffer
        self._tls = unverified() if tls else None
        self.status = 0
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Wire:
        raw = socket.socket()
        raw.setblocking(False)
        if self._receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self._port))
        self._reader, self._writer = await asyncio.open_connection(
            sock=raw,
            limit=self._receive_buffer or 2**16,
            ssl=self._tls,
            server_hostname="localhost" if self._tls else None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    def half_close(self) -> None:
        """Send no more, but go on reading."""
        self._writer.write_eof()

    async def push(self, data: bytes) -> None:
        """Send, as much as the other side takes within a second."""
        self._writer.write(data)
        with contextlib.suppress(TimeoutError, ConnectionError):
            await asyncio.wait_for(self._writer.drain(), 1)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def request(self, method: str, path: str, body: object = None, key: str | None = KEY, **headers: str) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named.setdefault("authorization", f"Bearer {key}")
        if data or method == "POST":
            named.setdefault("content-type", "application/json")
            named.setdefault("content-length", str(len(data)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        await self.send(f"{method} {path} HTTP/1.1\r\nhost: test\r\n{lines}\r\n".encode() + data)

    async def head(self) -> int:
        """Read status and headers."""
        text = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.rstrip("\r\n").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return self.status

    async def parts(self) -> AsyncIterator[bytes]:
        """The pieces of a chunked body as they come."""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)

    async def rest(self) -> bytes:
        """What comes until the end of the connection."""
        return await self._reader.read()

    async def reply(self, *, method: str = "") -> Reply:
        await self.head()
        if "content-length" in self.headers:
            body = b"" if method == "HEAD" else await self._reader.readexactly(int(self.headers["content-length"]))
        elif self.headers.get("transfer-encoding") == "chunked":
            body = b"".join([part async for part in self.parts()])
        else:
            body = b""
        return Reply(self.status, self.headers, body)
