"""Errors in Anthropic's shape: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from server.errors import GatewayError

TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""By status; any other one below 500 is an invalid request, from there on an `api_error`."""


def error_body(error: GatewayError, request_id: str) -> bytes:
    """The JSON, UTF-8. The path that is `param` in OpenAI's shape stands in front of the message here."""
    other = "invalid_request_error" if error.status < 500 else "api_error"
    message = f"{error.param}: {error.message}" if error.param else error.message
    body = {"type": TYPES.get(error.status, other), "message": message}
    return msgspec.json.encode({"type": "error", "error": body, "request_id": request_id})
