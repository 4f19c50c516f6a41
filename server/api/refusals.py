"""What FastAPI and the stores raise, as errors that a client may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from server.errors import (
    BadJson,
    GatewayError,
    InvalidRequest,
    InvalidState,
    InvalidType,
    InvalidValue,
    MissingParameter,
    NotFound,
    StoreUnavailable,
    UnknownParameter,
)
from server.stores.base import NotAllowed, NotThere, StoreDown

Problem = Mapping[str, Any]


def of_validation(error: RequestValidationError) -> InvalidRequest:
    """Of several problems the first. Its text quotes nothing of the request."""
    problem = error.errors()[0]
    param, kind = param_of(problem["loc"][1:]), problem["type"]
    if kind == "json_invalid":
        return BadJson("The body is not valid JSON.")
    if kind == "extra_forbidden":
        where = "query parameter" if problem["loc"][0] == "query" else "parameter"
        return UnknownParameter(f"Unknown {where}: '{param}'.", param=param)
    if kind == "missing":
        what = f"parameter: '{param}'" if param else "body: send JSON, with 'Content-Type: application/json'"
        return MissingParameter(f"Missing required {what}.", param=param)
    wrong = InvalidType if kind.endswith(("_type", "_parsing")) else InvalidValue
    return wrong(f"Invalid '{param or 'body'}': {reason(problem)}.", param=param)


def reason(problem: Problem) -> str:
    """In lower case, without an end."""
    text = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:].rstrip(".")


def param_of(place: Sequence[str | int]) -> str | None:
    """`limits.tokens_per_minute`, `models[0]`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or None


def of_store(error: StoreDown | NotThere | NotAllowed) -> GatewayError:
    if isinstance(error, StoreDown):  # its text names the database's place, which is not the client's business
        return StoreUnavailable("The database cannot be reached at the moment. Try again shortly.", retry_after=2)
    text = str(error)
    kind = NotFound if isinstance(error, NotThere) else InvalidState
    return kind(f"{text[:1].upper()}{text[1:].rstrip('.')}.")
