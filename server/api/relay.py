"""The relay: from a request on the wire to a call in the gateway, and from its events to the wire again.

A bare ASGI callable, looked up before FastAPI's routing. The first event is fetched before a status is sent: an early
failure is a real 4xx or 5xx, a late one an error event and a closed stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from time import perf_counter

from server.api.client_watch import ClientWatch
from server.api.http import (
    ANSWER_AT_ONCE,
    JSON,
    ClientLeft,
    HeaderList,
    Receive,
    Scope,
    Send,
    answer_headers,
    check_content,
    client_request_id,
    error_headers,
    new_request_id,
    read_body,
    send_json,
)
from server.auth.keys import KeyRing
from server.call import Call, Key
from server.config import Server
from server.errors import EngineFailure, GatewayError, MethodNotAllowed
from server.gateway import Gateway
from server.openai.collect import Collector
from server.openai.events import DONE, KEEP_ALIVE, Batch
from server.telemetry.metrics import Metrics
from server.telemetry.request_log import RequestLog
from server.watchdog import Watchdog

log = logging.getLogger("portico")
AnswerAtOnce = Callable[[int, HeaderList, bytes], None]
NewCall = Callable[[bytes, Key, str], Call]
EVENT_STREAM: HeaderList = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Relay:
    """One endpoint. `new_call(body, key, request_id)` parses and validates; it raises `GatewayError`."""

    def __init__(
        self,
        endpoint: str,
        new_call: NewCall,
        gateway: Gateway,
        keys: KeyRing,
        settings: Server,
        watchdog: Watchdog,
        metrics: Metrics,
        log: RequestLog,
    ) -> None:
        self._endpoint = endpoint
        self._new_call = new_call
        self._gateway = gateway
        self._keys = keys
        self._settings = settings
        self._watchdog = watchdog
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: HeaderList = scope["headers"]
        # Taken out of the scope, which it refers to itself: a cycle would be left to the garbage collector.
        at_once: AnswerAtOnce | None = scope.get("extensions", {}).pop(ANSWER_AT_ONCE, None)
        started = perf_counter()
        request_id = new_request_id()
        client_id = client_request_id(headers)
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed(f"{scope['path']} takes POST, not {scope['method']}.")
            key = self._keys.authenticate(headers)
            check_content(headers, self._settings.max_body_bytes)
            body = await read_body(
                receive, self._settings.max_body_bytes, self._settings.client_timeout_s, self._watchdog
            )
            started = perf_counter()
            call = self._new_call(body, key, request_id)
        except ClientLeft:
            self._refused(request_id, 499, "client_gone", started)
            return
        except Exception as caught:
            error = _as_gateway_error(caught)
            await _send_error(send, error, answer_headers(request_id, client_id, started))
            self._refused(request_id, error.status, error.outcome, started)
            return
        call.received = started
        call.client_request_id = client_id
        await self._serve(call, receive, send, at_once)

    def _refused(self, request_id: str, status: int, outcome: str, started: float) -> None:
        seconds = perf_counter() - started
        self._metrics.refused(self._endpoint, outcome, seconds)
        self._log.refused(request_id, self._endpoint, status, outcome, seconds)

    async def _serve(self, call: Call, receive: Receive, send: Send, at_once: AnswerAtOnce | None) -> None:
        call.task = asyncio.current_task()
        watch = ClientWatch(call, receive, self._settings.client_timeout_s)
        if call.stream:
            answer = StreamAnswer(call, send, watch, self._settings.first_event_grace_s)
        else:
            answer = WholeAnswer(call, send, watch, at_once)
        self._watchdog.add(watch)
        self._gateway.begin(call)
        try:
            async with self._gateway.open(call) as batches:
                await answer.send_all(batches)
        except Exception as caught:
            error = _as_gateway_error(caught)
            call.outcome = error.outcome
            await answer.fail(error)
        except asyncio.CancelledError:
            if call.task is None or not (call.client_gone or call.abort_reason):
                raise
            call.task.uncancel()
            await self._aborted(call, answer)
        finally:
            self._watchdog.discard(watch)
            call.task = None
            self._gateway.finish(call)
            await watch.stop()

    async def _aborted(self, call: Call, answer: Answer) -> None:
        if call.abort_reason is None:
            call.status, call.outcome = call.status or 499, "client_gone"
            return
        call.outcome = call.abort_reason.outcome
        await answer.fail(call.abort_reason)


class Answer:
    """How one call's events reach the client."""

    def __init__(self, call: Call, send: Send, watch: ClientWatch) -> None:
        self._call = call
        self._send = send
        self._watch = watch

    async def send_all(self, batches: AsyncIterator[Batch]) -> None:
        raise NotImplementedError

    async def fail(self, error: GatewayError) -> None:
        """Tell the client, by status if none was sent yet."""
        if self._call.status:
            return
        self._call.status = error.status
        await _send_error(self._send, error, self._headers())

    def _headers(self) -> HeaderList:
        return answer_headers(self._call.id, self._call.client_request_id, self._call.received)


class WholeAnswer(Answer):
    def __init__(self, call: Call, send: Send, watch: ClientWatch, at_once: AnswerAtOnce | None) -> None:
        super().__init__(call, send, watch)
        self._at_once = at_once

    async def send_all(self, batches: AsyncIterator[Batch]) -> None:
        collector = Collector()
        async for batch in batches:
            for event in batch:
                collector.feed(event)
        body = collector.body()
        if body is None:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        self._call.status = 200
        headers = self._headers()
        if self._at_once is not None:
            headers += (JSON, (b"content-length", b"%d" % len(body)))
            self._at_once(200, headers, body)
            return
        self._watch.sending_since = perf_counter()
        await send_json(self._send, 200, headers, body)


class StreamAnswer(Answer):
    def __init__(self, call: Call, send: Send, watch: ClientWatch, grace_s: float) -> None:
        super().__init__(call, send, watch)
        self._grace_s = grace_s
        self._last_write = 0.0

    async def send_all(self, batches: AsyncIterator[Batch]) -> None:
        """An empty batch is a heartbeat of a silent engine: it commits the stream to 200."""
        async for batch in batches:
            if batch:
                await self._write(b"".join([event.wire() for event in batch]))
            elif perf_counter() - max(self._last_write, self._call.dispatched or 0.0) >= self._grace_s:
                await self._write(KEEP_ALIVE)
        if not self._call.status:
            raise EngineFailure("The engine sent an empty answer. Try again.")
        await self._write(DONE, last=True)

    async def fail(self, error: GatewayError) -> None:
        if not self._call.status:
            await super().fail(error)
            return
        await self._write(b"data: " + error.body() + b"\n\n", last=True)

    async def _write(self, data: bytes, *, last: bool = False) -> None:
        self._watch.sending_since = self._last_write = perf_counter()
        if not self._call.status:
            self._call.status = 200
            await self._send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM + self._headers()})
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})
        self._watch.sending_since = None


def _as_gateway_error(error: Exception) -> GatewayError:
    """Anything but a `GatewayError` is a bug of ours: logged, and the client gets no detail."""
    if isinstance(error, GatewayError):
        return error
    log.error("a bug in the gateway", exc_info=error)
    return GatewayError("The server had an error. It was logged.")


async def _send_error(send: Send, error: GatewayError, headers: HeaderList) -> None:
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", b"POST"))
    await send_json(send, error.status, headers + error_headers(error), error.body())
