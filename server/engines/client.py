"""The HTTP client to one engine: a pool of keep-alive connections, and the exchange that borrows one."""

from __future__ import annotations

import asyncio
import ssl
from time import perf_counter
from urllib.parse import urlsplit

from server.config import Engine
from server.engines.connection import Connection, EngineLost
from server.watchdog import Watchdog

IDLE_S = 4.0  # vLLM closes idle connections after 5 s: an older one may be half closed already


class Exchange:
    """One request and its answer. Use as `async with`; leaving early closes the connection, which makes vLLM abort."""

    def __init__(self, client: EngineClient, head: bytes, body: bytes) -> None:
        self._client = client
        self._head = head
        self._body = body
        self.connection: Connection = None  # pyright: ignore[reportAttributeAccessIssue]

    async def __aenter__(self) -> Connection:
        """Sends the request. Raises OSError or TimeoutError if no connection can be had."""
        while True:
            fresh = not self._client.idle
            connection = self._client.idle_connection() or await self._client.connect()
            try:
                connection.send(self._head, self._body)
            except EngineLost:
                if fresh:
                    raise
                continue
            self.connection = connection
            self._client.watchdog.add(connection)
            return connection

    async def __aexit__(self, *_: object) -> None:
        self._client.watchdog.discard(self.connection)
        self._client.give_back(self.connection)


class EngineClient:
    """`path` arguments are relative to the engine's base URL."""

    def __init__(self, engine: Engine, url: str, api_key: str | None, watchdog: Watchdog, heartbeat_s: float) -> None:
        parts = urlsplit(url.rstrip("/"))
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._base = parts.path
        self._timeouts = engine.timeouts
        self._heartbeat_s = heartbeat_s
        self._max_idle = engine.max_in_flight
        self.watchdog = watchdog
        self.idle: list[Connection] = []
        key = f"authorization: Bearer {api_key}\r\n" if api_key else ""
        self._headers = f"host: {parts.netloc.rpartition('@')[2]}\r\naccept-encoding: identity\r\n{key}"
        self._post: dict[str, bytes] = {}

    def post(self, path: str, body: bytes, request_id: str) -> Exchange:
        """`request_id` must be safe in a header."""
        head = self._post.get(path)
        if head is None:
            text = (
                f"POST {self._base}{path} HTTP/1.1\r\n{self._headers}content-type: application/json\r\nx-request-id: "
            )
            head = self._post[path] = text.encode()
        return Exchange(self, b"%b%b\r\ncontent-length: %d\r\n\r\n" % (head, request_id.encode(), len(body)), body)

    def get(self, path: str, *, from_root: bool = False) -> Exchange:
        base = "" if from_root else self._base
        return Exchange(self, f"GET {base}{path} HTTP/1.1\r\n{self._headers}\r\n".encode(), b"")

    def idle_connection(self) -> Connection | None:
        oldest = perf_counter() - IDLE_S
        while self.idle:
            connection = self.idle.pop()
            if connection.reusable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeouts.connect_s):
            _, connection = await loop.create_connection(
                lambda: Connection(self._timeouts, self._heartbeat_s), self._host, self._port, ssl=self._tls
            )
        return connection

    def give_back(self, connection: Connection) -> None:
        if connection.reusable and len(self.idle) < self._max_idle:
            connection.idle_since = perf_counter()
            self.idle.append(connection)
        else:
            connection.abort()

    def close(self) -> None:
        for connection in self.idle:
            connection.abort()
        self.idle.clear()
