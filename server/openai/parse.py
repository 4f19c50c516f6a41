"""From the bytes of a body to a request, or to the error that names the field and the way out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from itertools import accumulate
from typing import TypeVar

import msgspec

from server.errors import (
    BadJson,
    GatewayError,
    InvalidType,
    InvalidValue,
    MissingParameter,
    UnknownParameter,
)
from server.openai.chat_request import ChatRequest, CompletionRequest
from server.openai.moderation_request import ModerationRequest

Request = TypeVar("Request", bound=msgspec.Struct)

MAX_NAME = 64  # of an unknown field: as much of it is repeated, and a longer one is not looked up

CHAT = msgspec.json.Decoder(ChatRequest)
COMPLETION = msgspec.json.Decoder(CompletionRequest)
MODERATION = msgspec.json.Decoder(ModerationRequest)

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]", re.DOTALL
)
_AT = re.compile(r" - at (?P<key>`key` in )?`\$?(?P<path>[^`]*)`\Z")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`\Z", re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one deeper, one higher
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BOUND = re.compile(
    r"Expected `(?:str|int|float|array|object)` (?P<bound>[<>]=? \S+|of length [<>=]+ \d+|matching regex .*)\Z"
)
_FORMS = {
    "A-Za-z": "letters, digits, '_' or '-'",
    "{1,64}": "characters other than white space, '<', '>', '|', '/' and '\\'",
}
_MOST = re.compile(r"\{1,(\d+)\}")

_WAYS_OUT = {
    "guided_json": "use response_format with a json_schema",
    "guided_choice": "use response_format with a json_schema that has an enum",
    "guided_regex": "use response_format with a json_schema that has a pattern",
    "guided_grammar": "use response_format with a json_schema",
    "priority": "only the operator sets it",
    "cache_salt": "only the operator sets it",
    "kv_transfer_params": "only the operator sets it",
    "vllm_xargs": "only the operator sets it",
    "prompt_embeds": "send text",
    "include_reasoning": "the operator sets models.*.reasoning",
}
ALLOWED: Mapping[str, str] = {
    "role": "system, developer, user, assistant, tool",
    "tool_choice": "none, auto, required, or {'type': 'function', 'function': {'name': ...}}",
    "reasoning_effort": "none, minimal, low, medium, high, xhigh, max",
    "service_tier": "auto, default, flex, scale, priority, fast",
    "verbosity": "low, medium, high",
    "encoding_format": "float, base64",
    "response_format.type": "text, json_object, json_schema",
    "content.type": "text",
    "input.type": "text",
    "tools.type": "function",
}


def parse(
    decoder: msgspec.json.Decoder[Request], body: bytes, max_depth: int, allowed: Mapping[str, str] = ALLOWED
) -> Request:
    """Decode and check `body`. Raises an `InvalidRequest` that names the field; never repeats its value.

    `allowed` says by the end of a path which values there are.
    """
    if body.count(b"[") + body.count(b"{") > max_depth and depth(body) > max_depth:
        raise BadJson(f"The JSON body is nested deeper than {max_depth} levels.")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise explain(str(error), decoder.type, allowed) from None
    except msgspec.DecodeError as error:
        raise _not_json(body, str(error)) from None
    except UnicodeDecodeError:
        raise BadJson("The body is not valid UTF-8. Encode the JSON as UTF-8.") from None
    except RecursionError:
        raise BadJson("The JSON body is nested too deeply.") from None


def parse_part(
    decoder: msgspec.json.Decoder[Request], part: msgspec.Raw | bytes, where: str, allowed: Mapping[str, str] = ALLOWED
) -> Request:
    """The same for a part of a body that was kept raw; `where` is its path there."""
    try:
        return decoder.decode(part)
    except msgspec.ValidationError as error:
        raise explain(_placed(str(error), where), decoder.type, allowed) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json(bytes(part), str(error)) from None
    except RecursionError:
        raise BadJson("The JSON body is nested too deeply.") from None


def _placed(text: str, where: str) -> str:
    """msgspec's words, with the place of the part in front of the path in them."""
    before, at, path = text.rpartition(" - at `")
    if not at:
        return f"{text} - at `$.{where}`"
    inner = path.removeprefix("key` in `")
    return f"{before}{at}{path[: len(path) - len(inner)]}$.{where}{inner.removeprefix('$')}"


def depth(body: bytes) -> int:
    """Nesting of a JSON text, strings left out. Called only for bodies with more brackets than the limit.

    Takes time in proportion to the body whatever it holds: a regular expression for strings would not.
    """
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(unescaped.split(b'"')[::2])
    return max(accumulate(memoryview(outside.translate(_STEPS, _NO_BRACKETS)).cast("b")), default=0)


def explain(text: str, shape: type[msgspec.Struct], allowed: Mapping[str, str] = ALLOWED) -> GatewayError:
    """Turn msgspec's message into an error in OpenAI's words."""
    found = _AT.search(text)
    path = found["path"].lstrip(".") if found else ""
    reason = text[: found.start()] if found else text
    if unknown := _UNKNOWN.match(reason):
        return _unknown(path, unknown["name"], shape)
    if missing := _MISSING.match(reason):
        param = _join(path, missing["name"])
        return MissingParameter(f"Missing required parameter: '{param}'.", param=param)
    where = f"'{path}'" if path else "the body"
    if bound := _BOUND.match(reason):
        return InvalidValue(f"Invalid value for {where}: expected {_plain(bound['bound'])}.", param=path or None)
    if reason.startswith("Invalid"):
        values = allowed.get(_leaf(path)) or allowed.get(_leaf(path).rpartition(".")[2])
        return InvalidValue(
            f"Invalid value for {where}." + (f" Supported values: {values}." if values else ""), param=path or None
        )
    if reason.startswith("Expected"):
        return InvalidType(
            f"Invalid type for {where}: {reason[0].lower()}{reason[1:].replace('`', '')}.", param=path or None
        )
    return InvalidValue(f"Invalid value for {where}.", param=path or None)  # a number out of any range


def _unknown(path: str, name: str, shape: type[msgspec.Struct]) -> UnknownParameter:
    param = _join(path, name[:MAX_NAME])
    way_out = _WAYS_OUT.get(name)
    if way_out is None and not path and len(name) <= MAX_NAME:
        close = difflib.get_close_matches(name, shape.__struct_fields__, 1)
        way_out = f"did you mean '{close[0]}'?" if close else None
    return UnknownParameter(f"Unknown parameter: '{param}'" + (f"; {way_out}." if way_out else "."), param=param)


def _not_json(body: bytes, reason: str) -> BadJson:
    if not body:
        return BadJson("The body is empty. Send a JSON object.")
    if "surrogate" in reason or _LONE_SURROGATE.search(body):
        return BadJson("The body holds half of a surrogate pair (such as \\ud83d alone), which is not text.")
    return BadJson(f"The body is not valid JSON: {reason.removeprefix('JSON is malformed: ')}.")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _leaf(path: str) -> str:
    """`messages[0].content[1].type` -> `content.type`."""
    names = re.sub(r"\[[^\]]*\]", "", path).split(".")
    return ".".join(names[-2:])


def _plain(bound: str) -> str:
    if bound.startswith("matching regex"):
        most = _MOST.search(bound)
        form = next((form for part, form in _FORMS.items() if part in bound), None)
        return f"1 to {most[1]} {form}" if most and form else "another form"
    length, bound = "a length of " if bound.startswith("of length ") else "", bound.removeprefix("of length ")
    words = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
    sign, _, number = bound.partition(" ")
    return f"{length}{words.get(sign, sign)} {number.removesuffix('.0')}"
