"""The kinds of items of which an answer is made: how they begin, and what a call says when it is complete. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from server.responses.hosted import CODE_FIELD
from server.responses.search import action_of
from server.responses.tools import Named

Kind = Literal[
    "reasoning", "output_text", "refusal", "function_call", "custom_tool_call", "mcp_call", "mcp_approval_request",
    "code_interpreter_call", "web_search_call", "compaction",
]  # fmt: skip
ItemStatus = Literal["completed", "incomplete"]
PREFIXES: Mapping[Kind, str] = {
    "reasoning": "rs",
    "output_text": "msg",
    "refusal": "msg",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcpr",
    "code_interpreter_call": "ci",
    "web_search_call": "ws",
    "compaction": "cmp",
}
KINDS: Mapping[str, Kind] = {
    "function": "function_call",
    "custom": "custom_tool_call",
    "mcp_call": "mcp_call",
    "mcp_approval_request": "mcp_approval_request",
    "code_interpreter_call": "code_interpreter_call",
    "web_search_call": "web_search_call",
}
"""Of the item that a call is, by the kind of its tool."""
WAITING = frozenset(("mcp_call", "code_interpreter_call", "web_search_call"))
"""Kinds of items that end when their call was made."""
UNHEARD = frozenset(("mcp_approval_request", "web_search_call"))
"""Kinds of which nothing is told until the call is complete: what they are is made of all of it."""
CONTAINER = "cntr_none"  # OpenAI's items name one: here each call has its own, and nothing stays in it
_NO_OUTCOME: Mapping[str, Any] = {"approval_request_id": None, "output": None, "error": None}
_INPUT = msgspec.json.Decoder(dict[str, str])


def begun(kind: Kind) -> dict[str, Any]:
    """Of what is no call."""
    if kind == "compaction":
        return {"type": "compaction", "encrypted_content": ""}
    if kind == "reasoning":
        return {"type": "reasoning", "summary": [], "encrypted_content": None}
    return {"type": "message", "role": "assistant", "content": []}


def begun_call(kind: Kind, call_id: str, named: Named) -> dict[str, Any]:
    if kind == "web_search_call":
        return {"type": kind}
    if kind == "code_interpreter_call":
        return {"type": kind, "container_id": CONTAINER, "code": None, "outputs": None}
    if kind in ("mcp_call", "mcp_approval_request"):
        item = {"type": kind, "server_label": named.namespace, "name": named.name, "arguments": ""}
        return item if kind == "mcp_approval_request" else {**item, **_NO_OUTCOME}
    item = {"type": kind, "call_id": call_id, "name": named.name}
    if named.namespace is not None:
        item["namespace"] = named.namespace
    return item | ({"input": ""} if kind == "custom_tool_call" else {"arguments": ""})


def called_with(kind: Kind, arguments: str) -> dict[str, Any]:
    """What the item tells of the arguments, as the model wrote them."""
    if kind == "custom_tool_call":
        return {"input": _input_of(arguments, "input")}
    if kind == "code_interpreter_call":
        return {"code": _input_of(arguments, CODE_FIELD)}
    return {"action": action_of(arguments)} if kind == "web_search_call" else {"arguments": arguments}


def given_up(kind: str) -> str:
    """The status of a call that was never made. OpenAI's searches have no status `incomplete`."""
    return "failed" if kind == "web_search_call" else "incomplete"


def _input_of(arguments: str, field: str) -> str:
    """A model may have written it wrong: then all of it is the input."""
    try:
        return _INPUT.decode(arguments).get(field, arguments)
    except msgspec.DecodeError:
        return arguments
