"""What FastAPI serves itself: with OpenAI's headers and errors, and a log line on everything."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from server.api.http import answer_headers, client_request_id, error_headers, new_request_id, pairs
from server.errors import GatewayError, InvalidApiKey, InvalidRequest, MethodNotAllowed, UnknownRoute
from server.gateway import as_gateway_error
from server.telemetry.refusals import Refusals

PLAIN_ENDPOINTS = ("models", "healthz", "readyz", "openapi.json")
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
        try:
            await super().__call__(scope, receive, answer.send)
        except Exception as error:  # the client has been answered by `_any_error`
            as_gateway_error(error, answer.id)
        finally:
            if answer.endpoint not in UNCOUNTED:
                self._refusals.note(answer.id, answer.endpoint, answer.status, answer.outcome(), answer.seconds())


class _PlainAnswer:
    """The answer of one of FastAPI's own routes: adds the headers, notes the status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._headers = dict[bytes, bytes](scope["headers"])
        self._send = send
        self._started = perf_counter()
        self.id = new_request_id()
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


def add_error_handlers(app: FastAPI) -> None:
    """All in OpenAI's shape."""
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _any_error)


async def _gateway_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101
    return _response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such route, wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 404:
        return _response(UnknownRoute(f"Unknown request URL: {request.method} {request.url.path}. See /openapi.json."))
    if error.status_code == 405:
        response = _response(MethodNotAllowed(f"{request.url.path} does not take {request.method}."))
        response.headers["allow"] = (error.headers or {}).get("Allow", "GET")
        return response
    refusal = InvalidRequest("The request cannot be served.")
    refusal.status = error.status_code
    return _response(refusal)


async def _any_error(_: Request, __: Exception) -> Response:
    return _response(GatewayError("The server had an error. It was logged under this request id."))


def _response(error: GatewayError) -> Response:
    named = {name.decode(): value.decode() for name, value in error_headers(error)}
    if error.close:
        named["connection"] = "close"
    return Response(error.body(), error.status, named, media_type="application/json")
