"""A small HTTP server that answers paths as a test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time

Answer = tuple[int, object]  # status, and the JSON of the body; bytes as they are


@dataclass
class Answering:
    port: int = 0
    heads: list[str] = field(default_factory=list[str])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def answering(answers: Mapping[str, Answer], *, ahead_s: float = 0) -> AsyncIterator[Answering]:
    """404 elsewhere. Its clock is `ahead_s` of ours."""
    one = Answering()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        one.heads.append(head)
        status, value = answers.get(head.split()[1], (404, {"detail": "Not Found"}))
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        date = formatdate(time() + ahead_s, usegmt=True)
        writer.write(f"HTTP/1.1 {status} X\r\ndate: {date}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        await server.wait_closed()
