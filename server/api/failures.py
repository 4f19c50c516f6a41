"""What goes wrong on FastAPI's own routes, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from server.api.http import error_headers
from server.errors import GatewayError, InvalidRequest, MethodNotAllowed, UnknownRoute

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def answer_failures(app: FastAPI) -> None:
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _any_error)


async def _gateway_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such route, wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 404:
        return error_response(
            UnknownRoute(f"Unknown request URL: {request.method} {request.url.path}. See /openapi.json.")
        )
    if error.status_code == 405:
        response = error_response(MethodNotAllowed(f"{request.url.path} does not take {request.method}."))
        response.headers["allow"] = (error.headers or {}).get("Allow", "GET")
        return response
    refusal = InvalidRequest("The request cannot be served.")
    refusal.status = error.status_code
    return error_response(refusal)


async def _any_error(_: Request, __: Exception) -> Response:
    return error_response(GatewayError("The server had an error. It was logged under this request id."))


def error_response(error: GatewayError, body: bytes | None = None, more: Mapping[str, str] = NO_HEADERS) -> Response:
    """`body` in another shape than OpenAI's, `more` headers."""
    named = {**more, **{name.decode(): value.decode() for name, value in error_headers(error)}}
    if error.close:
        named["connection"] = "close"
    return Response(error.body() if body is None else body, error.status, named, media_type="application/json")
