"""A question with one whole answer: a POST of JSON that is awaited, apart from the calls of clients.

For those that ask engines on their own behalf, as judges of moderation do. It has connections of its own: many
questions do not take kept connections from calls.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import NamedTuple
from urllib.parse import urlsplit

from server.config import Engine
from server.engines.client import EngineClient
from server.engines.connection import Connection, EngineLost, EngineSilent
from server.watchdog import Watchdog

MAX_ANSWER = 8 * 1024 * 1024


class WholeAnswer(NamedTuple):
    status: int
    body: bytes
    whole: bool  # False: it was too long; the rest was not read


class EngineAsk:
    """Of the engine's timeouts only `connect_s` is kept: each question brings its own. Deadlines need no watchdog."""

    def __init__(
        self, engine: Engine, url: str, api_key: str | None, watchdog: Watchdog, max_answer: int = MAX_ANSWER
    ) -> None:
        parts = urlsplit(url.rstrip("/"))
        self._base = parts.path
        self._client = EngineClient(engine, parts._replace(path="").geturl(), api_key, watchdog)
        self._max_answer = max_answer

    async def post(self, path: str, body: bytes, *, at_root: bool = False, within_s: float) -> WholeAnswer:
        """`path` is relative to the engine's base URL, or `at_root` to its host.

        Raises TimeoutError without a whole answer after `within_s` seconds, and ConnectionError if the engine cannot be
        connected to or the connection breaks. Then, and when cancelled, the connection is closed, so that the engine
        stops computing. A kept connection that turns out to be closed is replaced, once.
        """
        full = path if at_root else self._base + path
        head = self._client.post_head(full, body, f"ask-{secrets.token_hex(12)}")
        limit = asyncio.timeout(within_s)
        try:
            async with limit:
                return await self._exchange(head, body)
        except TimeoutError:
            if limit.expired():
                raise
            raise ConnectionError("no connection in time") from None
        except (EngineLost, EngineSilent, OSError) as error:
            raise ConnectionError(str(error)) from None

    def close(self) -> None:
        self._client.close()

    async def _exchange(self, head: bytes, body: bytes) -> WholeAnswer:
        kept = self._client.idle_connection()
        if kept is not None:
            try:
                return await self._answer(kept, head, body)
            except EngineLost as lost:
                if not lost.before_answer:
                    raise
        return await self._answer(await self._client.connect(), head, body)

    async def _answer(self, connection: Connection, head: bytes, body: bytes) -> WholeAnswer:
        reply = _Reply(connection, self._max_answer)
        try:
            connection.send(head, body, reply)
            return await reply.done
        finally:
            self._client.give_back(connection)  # closed, unless the answer is complete


class _Reply:
    """Keeps an answer, up to `most` bytes of it."""

    def __init__(self, connection: Connection, most: int) -> None:
        self.done: asyncio.Future[WholeAnswer] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._room = most
        self._parts: list[bytes] = []

    def answer_data(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self._set(whole=False)
            self._connection.listen(None)  # whoever waits comes to close it
        else:
            self._parts.append(data)

    def answer_end(self) -> None:
        self._set(whole=True)

    def answer_failed(self, error: EngineLost | EngineSilent) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def _set(self, *, whole: bool) -> None:
        if not self.done.done():
            self.done.set_result(WholeAnswer(self._connection.status, b"".join(self._parts), whole))
