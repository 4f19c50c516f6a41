"""Where in a request something is wrong that was found in the chat completion that was made of it. Pure."""

from __future__ import annotations

from server.call import Call
from server.errors import GatewayError
from server.responses.translate import Asked

FIELDS = {"response_format": "text.format", "max_completion_tokens": "max_output_tokens"}
"""Of a chat completion that have another name here."""


def placed(error: GatewayError, call: Call) -> GatewayError:
    """`error`, its `param` in the request as it was sent."""
    asked: Asked = call.body.asked
    if error.param is not None:
        error.param = _place(error.param, asked)
    return error


def _place(param: str, asked: Asked) -> str:
    first, dot, rest = param.partition(".")
    if first in FIELDS:
        return f"{FIELDS[first]}{dot}{rest}"
    name, _, numbered = first.partition("[")
    number = numbered.removesuffix("]")
    if name != "messages" or not number.isdecimal():
        return "input" if name == "messages" else param
    origin = asked.origins[int(number)]
    return f"{origin}{dot}{rest}" if origin.startswith("input[") else origin
