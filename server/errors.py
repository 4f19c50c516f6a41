"""Every failure a client can see, in one tree.

    GatewayError                     500 server_error
      InvalidRequest                 400 invalid_request_error
        UnknownParameter                 code unknown_parameter
        MissingParameter                 code missing_required_parameter
        InvalidType                      code invalid_type
        InvalidValue                     code invalid_value
        UnsupportedValue                 code unsupported_value
        ContextLengthExceeded            code context_length_exceeded
        BadJson                          code invalid_json
        BodyTooLarge                 413 code request_too_large
        HeadersTooLarge              431 code headers_too_large
        UnsupportedMediaType         415 code unsupported_media_type
        InvalidState                     code invalid_state
        FileLimitExceeded                code file_limit_exceeded
        ContentFiltered                  code content_filter
        UnknownRoute                   404 code unknown_url
        NotFound                       404 code not_found
        MethodNotAllowed             405 code method_not_allowed
        RequestTimedOut              408 code request_timeout
        ModelNotFound                404 code model_not_found
      InvalidApiKey                  401 code invalid_api_key
      PermissionDenied               403 code permission_denied
      TooManyRequests                429 code rate_limit_exceeded
        InsufficientQuota                code insufficient_quota
      StoreUnavailable               503 code store_unavailable
      StorageExhausted               507 code storage_full
      ModerationUnavailable          503 code moderation_unavailable
      EngineFailure                  502 code engine_error
        EngineUnavailable            503 code engine_unavailable
          ToolUnavailable                code tool_unavailable
        EngineOverloaded             503 code engine_overloaded
        EngineTimedOut               504 code engine_timeout
      ShuttingDown                   503 code shutting_down

The wire shape is OpenAI's `{"error": {"message", "type", "param", "code"}}`, all four keys present.
A message names the field and the way out and never repeats what the user sent: bodies may hold secrets.
"""

from __future__ import annotations

import msgspec


class GatewayError(Exception):
    """Base of everything a client may see. `retry_after` is in seconds; None tells the client not to wait."""

    status: int = 500
    type: str = "server_error"
    code: str | None = "internal_error"
    outcome: str = "error"  # bounded name for metrics and logs
    close: bool = False  # the connection cannot be used again (part of the request was not read)
    final: bool = False  # trying again would not help, whatever the status seems to say

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def body(self) -> bytes:
        """The JSON body, UTF-8."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return msgspec.json.encode({"error": error})


class InvalidRequest(GatewayError):
    status = 400
    type = "invalid_request_error"
    code = None
    outcome = "invalid"


class UnknownParameter(InvalidRequest):
    code = "unknown_parameter"


class MissingParameter(InvalidRequest):
    code = "missing_required_parameter"


class InvalidType(InvalidRequest):
    code = "invalid_type"


class InvalidValue(InvalidRequest):
    code = "invalid_value"


class UnsupportedValue(InvalidRequest):
    code = "unsupported_value"


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"


class BadJson(InvalidRequest):
    code = "invalid_json"


class BodyTooLarge(InvalidRequest):
    status = 413
    code = "request_too_large"


class HeadersTooLarge(InvalidRequest):
    status = 431
    code = "headers_too_large"
    close = True


class UnsupportedMediaType(InvalidRequest):
    status = 415
    code = "unsupported_media_type"


class InvalidState(InvalidRequest):
    """What it is about is in no state for this: an archived project, a revoked key."""

    code = "invalid_state"


class FileLimitExceeded(InvalidRequest):
    """The project may keep no more files."""

    code = "file_limit_exceeded"


class ContentFiltered(InvalidRequest):
    """A policy refuses what was sent. The message is the policy's own."""

    code = "content_filter"
    outcome = "moderated"
    final = True


class UnknownRoute(InvalidRequest):
    status = 404
    code = "unknown_url"


class NotFound(InvalidRequest):
    status = 404
    code = "not_found"


class MethodNotAllowed(InvalidRequest):
    status = 405
    code = "method_not_allowed"


class RequestTimedOut(InvalidRequest):
    status = 408
    code = "request_timeout"
    outcome = "timeout"
    close = True


class InvalidApiKey(GatewayError):
    status = 401
    type = "invalid_request_error"  # what OpenAI sends with this code
    code = "invalid_api_key"
    outcome = "unauthorized"


class PermissionDenied(GatewayError):
    status = 403
    type = "permission_error"
    code = "permission_denied"
    outcome = "forbidden"


class ModelNotFound(InvalidRequest):
    status = 404
    code = "model_not_found"


class TooManyRequests(GatewayError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    outcome = "limited"


class InsufficientQuota(TooManyRequests):
    """The budget of a month is used up: waiting a little does not help."""

    type = "insufficient_quota"
    code = "insufficient_quota"


class StoreUnavailable(GatewayError):
    status = 503
    code = "store_unavailable"
    outcome = "store_unavailable"


class StorageExhausted(GatewayError):
    """No room is left for files; to try again soon does not help."""

    status = 507
    code = "storage_full"
    outcome = "store_unavailable"
    final = True


class ModerationUnavailable(GatewayError):
    """Nothing passes that could not be looked at."""

    status = 503
    code = "moderation_unavailable"
    outcome = "moderation_unavailable"


class EngineFailure(GatewayError):
    status = 502
    code = "engine_error"
    outcome = "engine_error"


class EngineUnavailable(EngineFailure):
    status = 503
    code = "engine_unavailable"
    outcome = "engine_unavailable"


class ToolUnavailable(EngineUnavailable):
    """A tool server does not say what it offers, and nothing stands in for it."""

    code = "tool_unavailable"


class EngineOverloaded(EngineFailure):
    status = 503
    code = "engine_overloaded"
    outcome = "engine_overloaded"


class EngineTimedOut(EngineFailure):
    status = 504
    code = "engine_timeout"
    outcome = "engine_timeout"


class ShuttingDown(GatewayError):
    status = 503
    code = "shutting_down"
    outcome = "shutting_down"
