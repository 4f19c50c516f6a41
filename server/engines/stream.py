"""One call's exchange with an engine: request out, batches of events in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import perf_counter
from typing import Protocol

from server.call import Call
from server.engines.client import Exchange
from server.engines.connection import Connection, EngineLost, EngineSilent
from server.engines.engine import Engine
from server.engines.errors import translate, translate_event
from server.engines.requests import engine_request, streams_from_engine
from server.errors import EngineFailure, EngineTimedOut, EngineUnavailable, GatewayError
from server.openai.events import Batch
from server.openai.reader import EngineAnswerError, StreamReader, View, read_whole

MAX_ERROR_BODY = 256 * 1024
MAX_WHOLE_ANSWER = 64 * 1024 * 1024
RETRY_AFTER_S = 2.0


class Slot(Protocol):
    """The hold on an engine that admission gave to this call."""

    @property
    def engine(self) -> Engine: ...

    def move(self) -> bool:
        """Give the engine up as unreachable and hold another; False if there is none."""
        ...


class EngineStream:
    """`async with EngineStream(...) as batches`. Leaving closes an unfinished exchange: the engine aborts."""

    def __init__(self, call: Call, slot: Slot, view: View, path: str) -> None:
        self._call = call
        self._slot = slot
        self._view = view
        self._path = path
        self._body = engine_request(call)
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> AsyncIterator[Batch]:
        self._call.dispatched = perf_counter()
        self._connection = await self._open()
        return self._stream() if streams_from_engine(self._call) else self._whole()

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _open(self) -> Connection:
        """Send the request. Nothing was answered yet, so an unreachable engine is passed over."""
        while True:
            engine = self._slot.engine
            self._call.engine = engine.name
            exchange = engine.client.post(self._path, self._body, self._call.id)
            try:
                connection = await exchange.__aenter__()
            except (OSError, TimeoutError, EngineLost):
                engine.suspect()
                if not self._slot.move():
                    raise _unavailable() from None
                self._call.retries += 1
                continue
            self._exchange = exchange
            return connection

    async def _close(self) -> None:
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            await exchange.__aexit__()

    async def _answered(self) -> bool:
        """True once a good status has come; False for a heartbeat. Tries again once if the connection broke before."""
        try:
            if not await self._connection.head():
                return False
        except EngineLost as lost:
            if not lost.before_answer or self._call.retries:
                self._slot.engine.check_soon()
                raise
            self._call.retries += 1
            await self._close()
            self._connection = await self._open()
            return False
        if self._connection.status >= 400:
            error = translate(self._connection.status, await _read_all(self._connection, MAX_ERROR_BODY))
            if error.param == "messages" and not self._view.chat:
                error.param = "prompt"
            raise error
        return True

    async def _stream(self) -> AsyncIterator[Batch]:
        reader = StreamReader(self._view)
        try:
            while not await self._answered():
                yield []
            while not reader.done and (data := await self._connection.read()) != b"":
                yield reader.feed(data) if data else []
                if reader.failure is not None:
                    raise reader.failure
        except (EngineLost, EngineSilent, EngineAnswerError) as error:
            raise _translated(error) from None
        self._call.engine_done = perf_counter()
        if not reader.done:
            raise EngineFailure("The engine ended the answer too early. Try again.")
        await _drain(self._connection)

    async def _whole(self) -> AsyncIterator[Batch]:
        try:
            while not await self._answered():
                yield []
            parts: list[bytes] = []
            size = 0
            while (data := await self._connection.read()) != b"":
                if data is None:
                    yield []
                    continue
                parts.append(data)
                size += len(data)
                if size > MAX_WHOLE_ANSWER:
                    raise EngineAnswerError("an answer too large")
            self._call.engine_done = perf_counter()
            events = read_whole(self._view, b"".join(parts))
        except (EngineLost, EngineSilent, EngineAnswerError) as error:
            raise _translated(error) from None
        yield events


async def _read_all(connection: Connection, limit: int) -> bytes:
    body = b""
    while (data := await connection.read()) != b"" and len(body) < limit:
        body += data or b""
    return body


async def _drain(connection: Connection) -> None:
    """Read the end of the body after [DONE], so that the connection can be used again."""
    try:
        while await connection.read():
            pass
    except (EngineLost, EngineSilent):
        return


def _unavailable() -> EngineUnavailable:
    return EngineUnavailable("No engine can be reached for this model. Try again shortly.", retry_after=RETRY_AFTER_S)


def _translated(error: Exception) -> GatewayError:
    if isinstance(error, EngineSilent):
        return EngineTimedOut(
            "The engine did not answer in time. Try again, or ask for a shorter answer.", retry_after=1
        )
    if isinstance(error, EngineLost):
        return EngineFailure("The connection to the engine broke during the answer. Try again.", retry_after=1)
    payload = error.payload if isinstance(error, EngineAnswerError) else b""
    return translate_event(payload)  # vLLM sends 200 and then an error event for what a unary call gets a 400 for
