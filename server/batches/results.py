"""The lines of outputs, in OpenAI's shape. They are the journal too: what has a line here is done. Pure.

The id of a result tells the batch and the number of the line: `batch_req_1f..._17`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from server.errors import GatewayError
from server.stores.batches import BatchTokens

Kind = Literal["output", "errors"]
ENCODER = msgspec.json.Encoder()


class Result(NamedTuple):
    """`line` ends with a line feed."""

    number: int
    kind: Kind
    line: bytes
    tokens: BatchTokens


class _Response(Struct):
    status_code: int
    request_id: str
    body: msgspec.Raw


class _Error(Struct):
    code: str
    message: str


class _Line(Struct):
    id: str
    custom_id: str
    response: _Response | None
    error: _Error | None


class _Details(Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(Struct):
    """Of completions and, by other names, of responses."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Body(Struct):
    usage: _Usage | None = None


class _DoneResponse(Struct):
    body: _Body


class Done(Struct):
    """What is read of a result again."""

    id: str
    response: _DoneResponse | None


_DONE = msgspec.json.Decoder(Done)
_BODY = msgspec.json.Decoder(_Body)


def answered(batch_id: str, number: int, custom_id: str, request_id: str, body: bytes) -> Result:
    response = _Response(200, request_id, msgspec.Raw(body))
    line = _Line(_id(batch_id, number), custom_id, response, None)
    return Result(number, "output", _encoded(line), _tokens(_BODY.decode(body)))


def refused(batch_id: str, number: int, custom_id: str, request_id: str, error: GatewayError) -> Result:
    response = _Response(error.status, request_id, msgspec.Raw(error.body()))
    return Result(number, "errors", _encoded(_Line(_id(batch_id, number), custom_id, response, None)), BatchTokens())


def never_sent(batch_id: str, number: int, custom_id: str, code: str, message: str) -> Result:
    """It did not become a request."""
    line = _Line(_id(batch_id, number), custom_id, None, _Error(code, message))
    return Result(number, "errors", _encoded(line), BatchTokens())


def read(line: bytes, batch_id: str) -> tuple[int, BatchTokens] | None:
    """The number of a result and its tokens; None if this is no whole result of the batch."""
    if not line.endswith(b"\n"):
        return None
    try:
        done = _DONE.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    number = done.id.removeprefix(_id(batch_id, ""))
    if number == done.id or not number.isdecimal():
        return None
    return int(number), BatchTokens() if done.response is None else _tokens(done.response.body)


def _id(batch_id: str, number: int | Literal[""]) -> str:
    return f"batch_req_{batch_id.removeprefix('batch_')}_{number}"


def _encoded(line: Any) -> bytes:
    """An answer of ours has no line feed outside of its strings, where it is escaped."""
    return ENCODER.encode(line).replace(b"\n", b" ") + b"\n"


def _tokens(body: _Body) -> BatchTokens:
    usage = body.usage or _Usage()
    prompt = usage.prompt_tokens_details or usage.input_tokens_details or _Details()
    completion = usage.completion_tokens_details or usage.output_tokens_details or _Details()
    return BatchTokens(
        usage.prompt_tokens or usage.input_tokens or 0,
        prompt.cached_tokens or 0,
        usage.completion_tokens or usage.output_tokens or 0,
        completion.reasoning_tokens or 0,
    )
