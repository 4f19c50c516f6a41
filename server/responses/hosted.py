"""Tools that the gateway runs itself: what a request says of them, and what it becomes for the engine. Pure.

| Responses | chat completion |
|---|---|
| `mcp` | each tool that its server lists and the request allows, as `LABEL__NAME` |
| `code_interpreter` | one function of that name, which takes `code` |
| `web_search` | each tool of its server, as `web_search__NAME` (search.py) |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2s
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
from msgspec import Meta, Raw, Struct

from server.errors import UnsupportedValue
from server.openai.chat_request import Function, Strict
from server.openai.parse import parse_part
from server.responses.search import SEARCH, SEARCH_TYPES, SearchTool

Label = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*\Z", max_length=32)]
Names = Annotated[list[str], Meta(max_length=1024)]
Role = Literal["mcp", "code_interpreter", "web_search"]
ROLES: Mapping[str, Role] = {
    "mcp": "mcp",
    "code_interpreter": "code_interpreter",
    **dict.fromkeys(SEARCH_TYPES, "web_search"),
}
"""Of the server that runs it, by the type of a tool."""
CODE, CODE_FIELD = "code_interpreter", "code"
LONGEST_NAME, DIGEST_BYTES = 64, 5
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


class ToolFilter(Strict):
    tool_names: Names | None = None
    read_only: bool | None = None

    def matches(self, tool: Listed) -> bool:
        """One that says nothing matches nothing."""
        if self.tool_names is None and self.read_only is None:
            return False
        named = self.tool_names is None or tool.name in self.tool_names
        return named and (self.read_only is None or self.read_only == tool.read_only)


class ApprovalFilter(Strict):
    always: ToolFilter | None = None
    never: ToolFilter | None = None


class McpTool(Strict, kw_only=True):
    type: str
    server_label: Label
    server_url: str | None = None
    server_description: str | None = None
    allowed_tools: Names | ToolFilter | None = None
    require_approval: Literal["always", "never"] | ApprovalFilter | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None

    # Known to OpenAI, and refused: what a server is sent is for the operator to say.
    headers: Any = None
    authorization: Any = None
    connector_id: Any = None
    tunnel_id: Any = None

    def check(self, at: str) -> None:
        """Raises `UnsupportedValue`."""
        for name in ("headers", "authorization", "connector_id", "tunnel_id"):
            if getattr(self, name) is not None:
                raise UnsupportedValue(
                    f"'{name}' is not for a request to say: which servers there are, and what they are sent, "
                    "is in this server's configuration. Leave it out, and name the server by 'server_label'.",
                    param=f"{at}.{name}",
                )

    def allows(self, tool: Listed) -> bool:
        asked = self.allowed_tools
        if asked is None:
            return True
        return asked.matches(tool) if isinstance(asked, ToolFilter) else tool.name in asked

    def needs_approval(self, tool: Listed) -> bool:
        """A filter takes the need from a tool only where `never` names it and `always` does not."""
        asked = self.require_approval
        if not isinstance(asked, ApprovalFilter):
            return asked != "never"
        if asked.never is None or not asked.never.matches(tool):
            return True
        return asked.always is not None and asked.always.matches(tool)


class Container(Strict):
    """Of a code interpreter: there are none to choose from, nor files in them."""

    type: Literal["auto"]
    file_ids: Annotated[list[str], Meta(max_length=0)] | None = None
    memory_limit: None = None
    network_policy: None = None


class CodeTool(Strict, kw_only=True):
    type: str
    container: Container | None = None
    allowed_callers: list[str] | None = None


HostedTool = McpTool | CodeTool | SearchTool


class Listed(NamedTuple):
    """A tool as its server lists it."""

    name: str
    description: str | None
    schema: dict[str, Any]
    annotations: dict[str, Any] | None = None

    @property
    def read_only(self) -> bool:
        return bool(self.annotations and self.annotations.get("readOnlyHint") is True)


class Outcome(NamedTuple):
    """What came of a call. `error` is in the shape of OpenAI's `MCPToolCallError`."""

    output: str | None
    error: dict[str, Any] | None = None


class Offer(NamedTuple):
    """What a server, by its name in the configuration, has for one tool of a request. `error` says why nothing."""

    server: str
    asked: HostedTool
    tools: Sequence[Listed]
    error: str | None = None


Offers = Mapping[int, Offer]
"""By their place in `tools`."""
NO_OFFERS: Offers = MappingProxyType({})


class _Kind(Struct):
    type: str


_KIND = msgspec.json.Decoder(_Kind)
_MCP, _CODE = msgspec.json.Decoder(McpTool), msgspec.json.Decoder(CodeTool)
_SEARCH = msgspec.json.Decoder(SearchTool)
ALLOWED: Mapping[str, str] = {
    "require_approval": "always, never, or an object with 'always' or 'never'",
    "container.type": "auto",
    "search_context_size": "low, medium, high",
    "user_location.type": "approximate",
}


def hosted_tools(raw: Iterable[Raw]) -> Iterator[tuple[int, HostedTool]]:
    """Those of a request, with their place in `tools`. Raises `InvalidRequest`."""
    for index, one in enumerate(raw):
        at = f"tools[{index}]"
        role = ROLES.get(parse_part(_KIND, one, at).type)
        if role == "code_interpreter":
            yield index, parse_part(_CODE, one, at, ALLOWED)
        elif role == "web_search":
            search = parse_part(_SEARCH, one, at, ALLOWED)
            search.check(at)
            yield index, search
        elif role == "mcp":
            tool = parse_part(_MCP, one, at, ALLOWED)
            tool.check(at)
            yield index, tool


def hosted_name(label: str, tool: str) -> str:
    """The function that a tool is for the engine. Whatever tool there is, it has one that a prompt can hold.

    A label has no two underscores in a row, so that two tools never have one name.
    """
    plain = f"{label}__{tool}"
    if _PLAIN.fullmatch(plain):
        return plain
    digest = blake2s(f"{label}\0{tool}".encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()
    return f"{_OTHER.sub('_', plain)[: LONGEST_NAME - len(digest) - 1]}_{digest}"


def functions_of(offer: Offer) -> Iterator[tuple[Listed, Function]]:
    """Those that the request allows; of a code interpreter, the one that takes code."""
    asked = offer.asked
    if isinstance(asked, CodeTool):
        for tool in [one for one in offer.tools if CODE_FIELD in (one.schema.get("properties") or ())][:1]:
            yield tool, Function(CODE, tool.description, tool.schema)
    elif isinstance(asked, SearchTool):
        for tool in offer.tools:
            yield tool, Function(hosted_name(SEARCH, tool.name), tool.description, tool.schema)
    else:
        for tool in filter(asked.allows, offer.tools):
            yield tool, Function(hosted_name(asked.server_label, tool.name), tool.description, tool.schema)


def list_item(label: str, offer: Offer) -> dict[str, Any]:
    """The item that tells a client what a server offers, without its id."""
    tools = [
        {"name": one.name, "description": one.description, "input_schema": one.schema, "annotations": one.annotations}
        for one, _ in functions_of(offer)
    ]
    return {"type": "mcp_list_tools", "server_label": label, "tools": tools, "error": offer.error}


def execution_error(text: str) -> dict[str, Any]:
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text}]}


def outcome_fields(kind: str, outcome: Outcome) -> dict[str, Any]:
    """How an item of this kind tells it."""
    if kind == "mcp_call":
        return {"output": outcome.output, "error": outcome.error}
    if kind == "web_search_call":
        return {}  # what was found is for the model alone
    return {"outputs": [{"type": "logs", "logs": told_to_model(outcome.output, outcome.error)}]}


def told_to_model(output: str | None, error: Any) -> str:
    """What became of a call, for the model to read. `error` as OpenAI's items have it."""
    if error is None:
        return "The call was not made." if output is None else output
    told: dict[str, Any] = cast("dict[str, Any]", error) if isinstance(error, dict) else {"message": error}
    message, content = told.get("message"), told.get("content")
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        texts = [cast("dict[str, Any]", one).get("text") for one in parts if isinstance(one, dict)]
        message = "\n".join(text for text in texts if isinstance(text, str))
    return f"Error: {message or 'the call failed'}"
