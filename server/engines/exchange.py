"""One call's exchange with an engine: request out, batches of events in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Literal, Protocol

from server.call import Call
from server.engines.connection import Connection, EngineLost, EngineSilent
from server.engines.dialect import Reader
from server.engines.engine import Engine
from server.engines.errors import translate, translate_event
from server.engines.requests import streams_from_engine
from server.errors import EngineFailure, EngineTimedOut, EngineUnavailable, GatewayError
from server.openai.events import Batch
from server.openai.reader import EngineAnswerError, View

MAX_ERROR_BODY = 256 * 1024
MAX_WHOLE_ANSWER = 64 * 1024 * 1024
RETRY_AFTER_S = 2.0
TEXTS: Mapping[str, str] = {"completions": "prompt", "embeddings": "input", "rerank": "documents"}
RetryReason = Literal["connect", "lost", "silent", "status", "answer"]


class Slot(Protocol):
    """The hold on an engine that admission gave to this call."""

    @property
    def engine(self) -> Engine: ...

    def move(self) -> bool:
        """Give the engine up as unreachable and hold another; False if there is none."""
        ...

    def retry(self) -> bool:
        """Give the engine up as failing and hold another; False if there is none, or no more tries are to be made."""
        ...


class Receiver(Protocol):
    """Who gets the answer. After `done` and `fail` nothing more comes."""

    def batch(self, batch: Batch) -> None: ...

    def done(self) -> None: ...

    def fail(self, error: Exception) -> None: ...


class Exchange:
    """`begin`, then hear of it at the receiver. `close` at any time ends it, and with it what the engine computes."""

    def __init__(self, call: Call, slot: Slot, view: View, path: str, receiver: Receiver) -> None:
        self._call = call
        self._slot = slot
        self._view = view
        self._path = path
        self._receiver: Receiver | None = receiver
        self._streams = streams_from_engine(call)
        self._reader: Reader | None = None
        self._parts: list[bytes] = []  # of an answer that can only be read as a whole
        self._size = 0
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._paused = False
        self._kept = False  # the connection was there before the request
        self._told = False  # the receiver has heard something
        self._ticket: int | None = None  # of the engine's breaker, until it is known how the engine does

    def begin(self) -> None:
        """Send the request, over a connection that is there or else over a new one."""
        if self._call.dispatched is None:
            self._call.dispatched = perf_counter()
        client = self._slot.engine.client
        while (connection := client.idle_connection()) is not None:
            try:
                self._send(connection)
            except EngineLost:
                continue
            self._kept = True
            return
        self._connect()

    @property
    def sent(self) -> bool:
        """An engine has the request."""
        return self._connection is not None

    def pause(self) -> None:
        """The client does not keep up: let the engine wait."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    def tick(self, now: float) -> None:
        """Keep the engine's deadlines; called a few times a second."""
        if self._connection is not None:
            self._connection.tick(now)

    def close(self) -> None:
        """Nothing more reaches the receiver. An unfinished answer is broken off."""
        self._receiver = None
        self._verdict(None)
        if self._connecting is not None:
            self._connecting.cancel()
        self._give_back()

    # Connecting

    def _connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._send_anew(), name="connect to engine")

    async def _send_anew(self) -> None:
        """Nothing was answered yet, so an engine that cannot be reached is passed over for another."""
        try:
            while True:
                engine = self._slot.engine
                try:
                    self._send(await engine.client.connect())
                    break
                except (OSError, TimeoutError, EngineLost):
                    engine.suspect()
                    if not self._slot.move():
                        raise _unavailable() from None
                    self._call.retries += 1
                    engine.on_retry("connect")
        except Exception as error:
            self._fail(error)
        finally:
            self._connecting = None

    def _send(self, connection: Connection) -> None:
        """Raises `EngineLost` if the connection is of no use."""
        engine = self._slot.engine
        self._call.engine = engine.name
        body = engine.dialect.request(self._call, streams=self._streams)
        if self._streams:
            self._reader = engine.dialect.reader(self._call, self._view)
        try:
            connection.send(engine.client.post_head(self._path, body, self._call.id, self._call.trace), body, self)
        except EngineLost:
            engine.client.give_back(connection)
            raise
        self._connection = connection
        self._kept = False
        self._ticket = engine.enter()
        if self._paused:
            connection.pause()

    # What the connection calls

    def answer_data(self, data: bytes) -> None:
        try:
            connection = self._connection
            if self._reader is None or connection is None or connection.status >= 400:
                self._keep(data)
                return
            reader = self._reader
            batch = reader.feed(data)
            if reader.done:
                self._call.engine_done = perf_counter()
            if batch:
                if self._ticket is not None:
                    self._verdict(True)
                if self._receiver is not None:
                    self._told = True
                    self._receiver.batch(batch)
            if reader.failure is not None:
                raise reader.failure
            if reader.done:
                self._finish()
        except Exception as error:
            self._ill(_translated(error), "answer")

    def answer_end(self) -> None:
        connection = self._connection
        refused = connection is not None and connection.status >= 400
        try:
            if connection is not None and refused:
                texts = TEXTS.get(self._call.endpoint, "messages")
                raise translate(connection.status, b"".join(self._parts), texts)
            batch = self._last()
            self._call.engine_done = perf_counter()
            self._verdict(True)
            if self._receiver is not None and batch:
                self._told = True
                self._receiver.batch(batch)
            self._finish()
        except Exception as error:
            self._ill(_translated(error), "status" if refused else "answer")

    def answer_failed(self, error: EngineLost | EngineSilent) -> None:
        if isinstance(error, EngineLost):
            if error.before_answer and (self._kept or not self._call.retries):  # it was just closing, most likely
                self._verdict(None)
                self._call.retries += 1
                self._slot.engine.on_retry("closed")
                self._give_back()
                self._connect()
                return
            self._slot.engine.check_soon()
        self._ill(_translated(error), "silent" if isinstance(error, EngineSilent) else "lost")

    # An engine that fails

    def _ill(self, error: Exception, reason: RetryReason) -> None:
        """The call failed at its engine: try another, if the client has heard nothing and it may go better there.

        A refusal of the request is none of the engine's faults, and after a timeout the client has waited long enough.
        """
        failed = isinstance(error, EngineFailure)
        self._verdict(not failed if isinstance(error, GatewayError) else None)
        engine = self._slot.engine
        if not failed or self._told or self._receiver is None or isinstance(error, EngineTimedOut):
            self._fail(error)
            return
        self._give_back()
        if not self._slot.retry():
            self._fail(error)
            return
        engine.on_retry(reason)
        self._call.retries += 1
        self._parts, self._size = [], 0
        try:
            self.begin()
        except Exception as bug:
            self._fail(bug)

    def _verdict(self, well: bool | None) -> None:
        """Tell the engine's breaker, once."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._slot.engine.leave(ticket, well)

    # The end

    def _last(self) -> Batch:
        """What the end of the body makes known. Raises `EngineAnswerError`, `EngineFailure`."""
        connection, reader = self._connection, self._reader
        if reader is None and connection is not None:
            parts = self._parts
            whole = parts[0] if len(parts) == 1 else b"".join(parts)
            return self._slot.engine.dialect.whole(self._call, self._view, whole)
        last = None if reader is None else reader.end()
        if last is None:
            raise EngineFailure("The engine ended the answer too early. Try again.")
        return last

    def _keep(self, data: bytes) -> None:
        failed = self._connection is not None and self._connection.status >= 400
        self._size += len(data)
        if self._size > (MAX_ERROR_BODY if failed else MAX_WHOLE_ANSWER):
            if failed:
                return  # enough to know what it is about
            raise EngineAnswerError("an answer too large")
        self._parts.append(data)

    def _finish(self) -> None:
        receiver, self._receiver = self._receiver, None
        self._give_back()
        if receiver is not None:
            receiver.done()

    def _fail(self, error: Exception) -> None:
        receiver, self._receiver = self._receiver, None
        self._give_back()
        if receiver is not None:
            receiver.fail(error)

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.listen(None)
        if self._reader is not None and self._reader.done:
            self._slot.engine.client.give_back_at_its_end(connection)
        else:
            self._slot.engine.client.give_back(connection)


def _unavailable() -> EngineUnavailable:
    return EngineUnavailable("No engine can be reached for this model. Try again shortly.", retry_after=RETRY_AFTER_S)


def _translated(error: Exception) -> Exception:
    """In the client's words; what is no failure of the engine stays what it is."""
    if isinstance(error, EngineSilent):
        return EngineTimedOut(
            "The engine did not answer in time. Try again, or ask for a shorter answer.", retry_after=1
        )
    if isinstance(error, EngineLost):
        return EngineFailure("The connection to the engine broke during the answer. Try again.", retry_after=1)
    if isinstance(error, EngineAnswerError):
        return translate_event(error.payload)  # vLLM sends 200 and then an error event for what a unary call gets a 400
    return error
