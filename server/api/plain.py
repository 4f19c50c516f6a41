"""What FastAPI serves itself: with OpenAI's headers and errors, and a log line on everything."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from server.api.http import answer_headers, check_content, client_request_id, new_request_id, pairs, too_large
from server.config import Server
from server.errors import GatewayError, InvalidApiKey, InvalidRequest, RequestTimedOut
from server.gateway import as_gateway_error
from server.telemetry.refusals import Refusals
from server.telemetry.trace_context import trace_id_of

PLAIN_ENDPOINTS = (
    "models",
    "moderations",
    "messages",
    "responses",
    "conversations",
    "files",
    "batches",
    "organization",
    "healthz",
    "readyz",
    "openapi.json",
)
UNCOUNTED = ("healthz", "readyz")  # asked every few seconds by machines


class Portico(FastAPI):
    """FastAPI with OpenAI's headers and a log line on everything."""

    def __init__(self, refusals: Refusals, **settings: Any) -> None:
        super().__init__(**settings)
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        answer = _PlainAnswer(scope, send)
        scope["state"] = {**scope.get("state", {}), "request_id": answer.id}
        try:
            await super().__call__(scope, receive, answer.send)
        except Exception as error:  # the client has been answered by `_any_error`
            as_gateway_error(error, answer.id, answer.trace_id)
        finally:
            if answer.endpoint not in UNCOUNTED:
                self._refusals.note(
                    answer.id, answer.endpoint, answer.status, answer.outcome(), answer.seconds(), answer.trace_id
                )


class _PlainAnswer:
    """The answer of one of FastAPI's own routes: adds the headers, notes the status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._headers = dict[bytes, bytes](scope["headers"])
        self._send = send
        self._started = perf_counter()
        self.id = new_request_id()
        self.trace_id = trace_id_of(self._headers.get(b"traceparent"))
        self.status = 500
        # A bounded name and not the path, which is the client's text.
        first = scope["path"].removeprefix("/v1").lstrip("/").partition("/")[0]
        self.endpoint = first if first in PLAIN_ENDPOINTS else "unknown"

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            extra = pairs(answer_headers(self.id, client_request_id(self._headers), self._started))
            message["headers"] = [*message.get("headers", ()), *extra]
        await self._send(message)

    def outcome(self) -> str:
        if self.status < 400:
            return "ok"
        if self.status >= 500:
            return GatewayError.outcome
        return InvalidApiKey.outcome if self.status == 401 else InvalidRequest.outcome

    def seconds(self) -> float:
        return perf_counter() - self._started


async def read_body(request: Request, settings: Server) -> bytes:
    """Raises `BodyTooLarge`, `RequestTimedOut`, `UnsupportedMediaType`."""
    check_content(dict[bytes, bytes](request.scope["headers"]), settings.max_body_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.client_timeout_s):
            async for part in request.stream():
                body += part
                if len(body) > settings.max_body_bytes:
                    raise too_large(settings.max_body_bytes)
    except (TimeoutError, ClientDisconnect):
        raise RequestTimedOut("The request did not come in time.") from None
    return bytes(body)
