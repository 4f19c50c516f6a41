"""The HTTP client to one engine: a pool of keep-alive connections."""

from __future__ import annotations

import asyncio
import ssl
from time import perf_counter
from urllib.parse import urlsplit

from server.call import Trace
from server.config import Engine
from server.engines.connection import Connection, EngineLost, EngineSilent, Heads
from server.outbox import Outbox
from server.watchdog import Watchdog

IDLE_S = 4.0  # vLLM closes idle connections after 5 s: an older one may be half closed already


class EngineClient:
    """`path` arguments are relative to the engine's base URL."""

    def __init__(self, engine: Engine, url: str, api_key: str | None, watchdog: Watchdog) -> None:
        parts = urlsplit(url.rstrip("/"))
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._base = parts.path
        self._timeouts = engine.timeouts
        self._max_idle = engine.max_in_flight
        self._watchdog = watchdog
        self._outbox = Outbox()
        self._heads = Heads()
        self._idle: list[Connection] = []
        key = f"authorization: Bearer {api_key}\r\n" if api_key else ""
        self._headers = f"host: {parts.netloc.rpartition('@')[2]}\r\naccept-encoding: identity\r\n{key}"
        self._post: dict[str, bytes] = {}

    def post_head(self, path: str, body: bytes, request_id: str, trace: Trace | None = None) -> bytes:
        """The head of a request with `body`. `request_id` must be safe in a header."""
        head = self._post.get(path)
        if head is None:
            text = (
                f"POST {self._base}{path} HTTP/1.1\r\n{self._headers}content-type: application/json\r\nx-request-id: "
            )
            head = self._post[path] = text.encode()
        if trace is not None:
            request_id = f"{request_id}\r\ntraceparent: {trace.header}"
        return b"%b%b\r\ncontent-length: %d\r\n\r\n" % (head, request_id.encode(), len(body))

    async def get(self, path: str, *, from_root: bool = False) -> int:
        """The status of the answer, whose body is read and dropped. Raises OSError, EngineLost, EngineSilent."""
        base = "" if from_root else self._base
        head = f"GET {base}{path} HTTP/1.1\r\n{self._headers}\r\n".encode()
        old = self.idle_connection()
        if old is not None:
            try:
                return await self._status(old, head)
            except EngineLost as lost:
                if not lost.before_answer:  # else it was just closing, which says nothing of the engine
                    raise
        return await self._status(await self.connect(), head)

    async def _status(self, connection: Connection, head: bytes) -> int:
        reply = _Reply()
        try:
            connection.send(head, b"", reply)
            await reply.done
            return connection.status
        finally:
            self.give_back(connection)

    def idle_connection(self) -> Connection | None:
        """One that can be used at once, if there is any."""
        oldest = perf_counter() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def connect(self) -> Connection:
        """A new one. Raises OSError or TimeoutError."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeouts.connect_s):
            _, connection = await loop.create_connection(
                lambda: Connection(self._timeouts, self._outbox, self._heads), self._host, self._port, ssl=self._tls
            )
        return connection

    def give_back(self, connection: Connection) -> None:
        """To the pool if it can be used again, else it is closed, which makes an engine abort what it computes."""
        connection.resume()
        if connection.reusable and len(self._idle) < self._max_idle:
            connection.idle_since = perf_counter()
            self._idle.append(connection)
        else:
            connection.abort()

    def give_back_at_its_end(self, connection: Connection) -> None:
        """As `give_back`, for an answer of which only the end of the HTTP message may still be to come."""
        if connection.complete:
            self.give_back(connection)
        else:
            connection.resume()
            connection.listen(_Remainder(self, connection, self._watchdog))

    def close(self) -> None:
        for connection in self._idle:
            connection.abort()
        self._idle.clear()


class _Remainder:
    """Waits for the end of an answer that nobody needs any more, under the connection's own deadlines."""

    def __init__(self, client: EngineClient, connection: Connection, watchdog: Watchdog) -> None:
        self._client = client
        self._connection = connection
        self._watchdog = watchdog
        watchdog.add(connection)

    def answer_data(self, data: bytes) -> None: ...

    def answer_end(self) -> None:
        self._watchdog.discard(self._connection)
        self._client.give_back(self._connection)

    def answer_failed(self, error: EngineLost | EngineSilent) -> None:
        self.answer_end()


class _Reply:
    """Waits for an answer of which only the status is wanted."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer_data(self, data: bytes) -> None: ...

    def answer_end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def answer_failed(self, error: EngineLost | EngineSilent) -> None:
        if not self.done.done():
            self.done.set_exception(error)
