"""Commands to Valkey or Redis over one connection: those that come while it is busy are sent together.

A pool gives each command a connection, which costs more than the command, and those who wait for one can be passed over
again and again. Here all have their turn, and the busier the gateway the less each costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import NoScriptError, RedisError

from server.stores.base import StoreDown

CONNECT_S = 1.0
COMMAND_S = 1.0
MOST_AT_ONCE = 128
MOST_WAITING = 4096
Command = tuple[str | int, ...]


class NoScript(Exception):
    """The server does not know this script."""


class RedisPipe:
    """`ask`. `url` is redis://, or rediss:// for TLS. Raises `ValueError` (url).

    A connection that broke is opened once more and its commands are repeated: they must be such that this is no harm.
    What waits longer than one batch before it and its own, each `CONNECT_S` and `command_s`, fails.
    """

    def __init__(self, url: str, command_s: float = COMMAND_S) -> None:
        pool: Any = cast(Any, ConnectionPool).from_url(
            url,
            max_connections=1,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=command_s,
            retry=Retry(NoBackoff(), 1, supported_errors=(Lost,)),
            protocol=2,
        )
        self._command_s = command_s
        self._redis: Any = Redis.from_pool(pool)
        self._settings: dict[str, Any] = pool.connection_kwargs
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, *command: str | int) -> Any:
        """Raises `StoreDown`, `NoScript`."""
        if len(self._waiting) >= MOST_WAITING:
            raise StoreDown(f"{self._where}: {MOST_WAITING} commands are waiting for it")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, answer))
        if self._sender is None:
            self._sender = loop.create_task(self._send(), name="commands to redis")
        return await answer

    async def close(self) -> None:
        """What waits is still sent."""
        if self._sender is not None:
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._redis.aclose()

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._send_together([one for one in batch if not one[1].done()])
        finally:
            self._sender = None

    async def _send_together(self, batch: Sequence[tuple[Command, asyncio.Future[Any]]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for command, _ in batch:
            pipeline.execute_command(*command)
        try:
            async with asyncio.timeout(CONNECT_S + self._command_s):
                answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:
            waiting, self._waiting = self._waiting, []  # they would wait in vain
            for _, answer in (*batch, *waiting):
                _tell(answer, self._translated(error))
            if not isinstance(error, RedisError | OSError | TimeoutError):
                raise
        else:
            for (_, answer), said in zip(batch, answers, strict=True):
                _tell(answer, self._translated(said) if isinstance(said, Exception) else said)

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, NoScriptError):
            return NoScript()
        text = str(error).strip() or type(error).__name__
        line, password = text.splitlines()[0], str(self._settings.get("password") or "")
        return StoreDown(f"{self._where}: {line.replace(password, '***') if password else line}")

    @property
    def _where(self) -> str:
        return f"{self._settings.get('host', 'localhost')}:{self._settings.get('port', 6379)}"


def _tell(answer: asyncio.Future[Any], said: Any) -> None:
    if answer.done():  # whoever asked has left
        return
    if isinstance(said, Exception):
        answer.set_exception(said)
    else:
        answer.set_result(said)
