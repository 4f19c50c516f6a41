"""What a request says of tools that the gateway runs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from server.errors import InvalidRequest
from server.responses.hosted import (
    CodeTool,
    Listed,
    McpTool,
    Offer,
    execution_error,
    functions_of,
    hosted_name,
    hosted_tools,
    told_to_model,
)
from server.responses.seal import Sealer, is_request_id, request_id
from server.responses.tools import tools_of

READS = Listed("reads", None, {}, {"readOnlyHint": True})
WRITES = Listed("writes", "Writes.", {"type": "object"})
LABELS = st.from_regex(r"\A[A-Za-z0-9]+([_-][A-Za-z0-9]+)*\Z").filter(lambda text: len(text) <= 32)
NAMES = st.text(min_size=1, max_size=128)


def raw(**tool: Any) -> Raw:
    return Raw(json.dumps({"type": "mcp", "server_label": "desk"} | tool).encode())


def parsed(**tool: Any) -> McpTool:
    (found,) = hosted_tools([raw(**tool)])
    assert isinstance(found[1], McpTool)
    return found[1]


@given(first=st.tuples(LABELS, NAMES), second=st.tuples(LABELS, NAMES))
def test_every_tool_has_a_name_of_its_own_that_a_prompt_can_hold(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    names = [hosted_name(*one) for one in (first, second)]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one) for one in names)
    assert (names[0] == names[1]) == (first == second)


@pytest.mark.parametrize(
    "asked, needing",
    [
        ({}, {"reads", "writes"}),
        ({"require_approval": None}, {"reads", "writes"}),
        ({"require_approval": "always"}, {"reads", "writes"}),
        ({"require_approval": "never"}, set()),
        ({"require_approval": {"never": {"tool_names": ["writes"]}}}, {"reads"}),
        ({"require_approval": {"never": {"read_only": True}}}, {"writes"}),
        ({"require_approval": {"never": {}}}, {"reads", "writes"}),
        ({"require_approval": {"always": {"tool_names": ["writes"]}}}, {"reads", "writes"}),
        (
            {"require_approval": {"always": {"tool_names": ["writes"]}, "never": {"read_only": False}}},
            {"reads", "writes"},
        ),
        ({"require_approval": {"never": {"tool_names": ["reads"], "read_only": False}}}, {"reads", "writes"}),
    ],
)
def test_which_need_approval(asked: dict[str, Any], needing: set[str]) -> None:
    tool = parsed(**asked)
    assert {one.name for one in (READS, WRITES) if tool.needs_approval(one)} == needing
    tools = tools_of([raw(**asked)], {0: Offer("inner", tool, (READS, WRITES))})
    kinds = {named.name for named in tools.names.values() if named.kind == "mcp_approval_request"}
    assert kinds == needing


@pytest.mark.parametrize(
    "allowed, offered",
    [(None, ["reads", "writes"]), (["reads"], ["reads"]), ({"read_only": True}, ["reads"]), ({}, []), ([], [])],
)
def test_which_are_offered(allowed: Any, offered: list[str]) -> None:
    tool = parsed(allowed_tools=allowed)
    assert [one.name for one, _ in functions_of(Offer("inner", tool, (READS, WRITES)))] == offered


def test_a_name_that_a_client_has_too_is_refused() -> None:
    own = Raw(b'{"type": "function", "name": "desk__reads"}')
    with pytest.raises(InvalidRequest, match="same name"):
        tools_of([own, raw()], {1: Offer("inner", parsed(), (READS,))})


def test_of_a_code_interpreter_the_tool_that_takes_code() -> None:
    runs = Listed("python", "Runs it.", {"properties": {"code": {"type": "string"}}})
    offered = list(functions_of(Offer("inner", CodeTool(type="code_interpreter"), (WRITES, runs))))
    assert [(tool.name, function.name) for tool, function in offered] == [("python", "code_interpreter")]


@pytest.mark.parametrize(
    "output, error, told",
    [
        ("3", None, "3"),
        (None, None, "The call was not made."),
        (None, execution_error("no"), "Error: no"),
        (None, {"type": "http_error", "code": 500, "message": "down"}, "Error: down"),
        (None, "short", "Error: short"),
        (None, {"type": "mcp_tool_execution_error", "content": "?"}, "Error: the call failed"),
        (None, [1], "Error: [1]"),
    ],
)
def test_what_a_model_is_told(output: str | None, error: Any, told: str) -> None:
    assert told_to_model(output, error) == told


@given(
    call=st.lists(st.text(max_size=20), min_size=3, max_size=3),
    other=st.lists(st.text(max_size=20), min_size=3, max_size=3),
)
def test_an_id_is_of_one_call_of_one_project(call: list[str], other: list[str]) -> None:
    sealer = Sealer(b"secret")
    made = request_id("mcpr_1", sealer, "proj", *call)
    assert is_request_id(made, sealer, "proj", *call)
    assert is_request_id(made, sealer, "proj", *other) == (call == other)
    assert not is_request_id(made, sealer, "proj2", *call)
    assert not is_request_id(made, Sealer(b"another"), "proj", *call)
    assert not is_request_id("mcpr_2" + made[6:], sealer, "proj", *call)


def test_a_request_without_them_has_none() -> None:
    tools = tools_of([Raw(b'{"type": "function", "name": "f"}')])
    assert (tools.hosted, list(tools.lists)) == (False, [])
