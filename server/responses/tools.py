"""The tools of a request as functions of a chat completion, and back: which tool a function's call is a call of. Pure.

| Responses | chat completion |
|---|---|
| `function` | the same |
| `custom` | a function with one string, `input`; a grammar is told to the model, not forced |
| `namespace` | each of its tools, as `NAMESPACE__NAME` |
| `mcp`, `code_interpreter`, `web_search` | see hosted.py |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from server.errors import InvalidValue, MissingParameter, ToolUnavailable, UnsupportedValue
from server.openai.chat_request import ChatRequest, Function, NamedFunction, NamedToolChoice, Strict, Tool
from server.openai.parse import parse_part
from server.responses.hosted import NO_OFFERS, ROLES, CodeTool, McpTool, Offer, Offers, functions_of, list_item
from server.responses.request import ALLOWED, Prompted, ToolChoice, ToolName

WAYS_OUT: Mapping[str, str] = {
    "mcp": "the operator can add MCP servers ('tools.servers'); else call yours yourself, and offer functions",
    "tool_search": "offer the tools themselves",
}
OFFER = "offer a function tool instead, and run it yourself"
HOSTED = frozenset(
    (
        "file_search", "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11",
        "computer", "computer_use_preview", "mcp", "code_interpreter", "image_generation", "local_shell", "shell",
        "apply_patch", "tool_search", "programmatic_tool_calling",
    )
)  # fmt: skip
INPUT: Mapping[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
"""The parameters of a custom tool."""


class CustomFormat(Strict):
    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class OneTool(Strict, kw_only=True):
    type: str
    name: ToolName
    description: str | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None


class FunctionTool(OneTool, kw_only=True):
    parameters: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    strict: bool | None = None


class CustomTool(OneTool, kw_only=True):
    format: CustomFormat | None = None


class NamespaceTool(Strict, kw_only=True):
    type: str
    name: ToolName
    tools: Annotated[list[Raw], Meta(min_length=1, max_length=128)]
    description: str | None = None


class _Kind(Struct):
    type: str


class Named(NamedTuple):
    """A tool as its client knows it. Of one that the gateway runs, `kind` is the item that its call is.

    `namespace` is the label of an MCP server, `server` its name in the configuration.
    """

    kind: Literal["function", "custom", "mcp_call", "mcp_approval_request", "code_interpreter_call", "web_search_call"]
    name: str
    namespace: str | None = None
    server: str | None = None


class Tools(NamedTuple):
    """`names` are by the name of the function that it is for the engine; `echo` is what an answer repeats.

    `lists` are items that tell what MCP servers offer, without their ids. `hosted`: the gateway runs some of them.
    """

    functions: list[Tool]
    names: Mapping[str, Named]
    echo: list[dict[str, Any]]
    lists: Sequence[dict[str, Any]] = ()
    hosted: bool = False


NO_TOOLS = Tools([], {}, [])
_KIND = msgspec.json.Decoder(_Kind)
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_DECODERS: Mapping[str, msgspec.json.Decoder[Any]] = {
    "function": msgspec.json.Decoder(FunctionTool),
    "custom": msgspec.json.Decoder(CustomTool),
    "namespace": msgspec.json.Decoder(NamespaceTool),
}
_NESTED = frozenset(("function", "custom"))
_KINDS = frozenset(_DECODERS)


def function_name(namespace: str | None, name: str) -> str:
    return f"{namespace}__{name}" if namespace else name


def tools_of(raw: list[Raw] | None, offers: Offers = NO_OFFERS, listed: frozenset[str] = frozenset()) -> Tools:
    """`listed`: labels of servers of which the conversation tells already what they offer.

    Raises `InvalidRequest` with a path such as `tools[0].name`.
    """
    if not raw:
        return NO_TOOLS
    functions: list[Tool] = []
    names: dict[str, Named] = {}
    for index, one in enumerate(raw):
        offer = offers.get(index)
        found = _flat(one, f"tools[{index}]", _KINDS, None) if offer is None else _hosted(offer)
        for function, named in found:
            if function.name in names:
                raise InvalidValue("Two tools have the same name.", param="tools")
            names[function.name] = named
            functions.append(Tool(function))
    lists = [
        list_item(one.asked.server_label, one)
        for one in offers.values()
        if isinstance(one.asked, McpTool) and one.asked.server_label not in listed
    ]
    echo = [_echo(_OBJECT.decode(one)) for one in raw]
    return Tools(functions, names, echo, lists, bool(lists) or any(one.server for one in names.values()))


def _hosted(offer: Offer) -> Iterator[tuple[Function, Named]]:
    asked = offer.asked
    if not isinstance(asked, McpTool) and offer.error is not None:  # no item could tell of it
        what = "Code cannot be run" if isinstance(asked, CodeTool) else "The web cannot be searched"
        raise ToolUnavailable(f"{what} now: {offer.error}", param="tools", retry_after=5)
    for tool, function in functions_of(offer):
        if not isinstance(asked, McpTool):
            kind = "code_interpreter_call" if isinstance(asked, CodeTool) else "web_search_call"
            yield function, Named(kind, tool.name, None, offer.server)
        else:
            kind = "mcp_approval_request" if asked.needs_approval(tool) else "mcp_call"
            yield function, Named(kind, tool.name, asked.server_label, offer.server)


def _flat(raw: Raw, at: str, kinds: frozenset[str], namespace: str | None) -> Iterator[tuple[Function, Named]]:
    tool = _decoded(raw, at, kinds)
    if isinstance(tool, NamespaceTool):
        for index, one in enumerate(tool.tools):
            yield from _flat(one, f"{at}.tools[{index}]", _NESTED, tool.name)
    else:
        kind = "custom" if isinstance(tool, CustomTool) else "function"
        yield _function(function_name(namespace, tool.name), tool), Named(kind, tool.name, namespace)


def _decoded(raw: Raw, at: str, kinds: frozenset[str]) -> FunctionTool | CustomTool | NamespaceTool:
    kind = parse_part(_KIND, raw, at).type
    if kind in HOSTED:
        raise _not_here(kind, f"{at}.type")
    if kind not in kinds:
        there = ", ".join(sorted(kinds))
        raise InvalidValue(f"Invalid value for '{at}.type'. Supported values: {there}.", param=f"{at}.type")
    return parse_part(_DECODERS[kind], raw, at, ALLOWED)


def _not_here(kind: str, param: str) -> UnsupportedValue:
    return UnsupportedValue(f"Tools of type '{kind}' do not run here: {WAYS_OUT.get(kind, OFFER)}.", param=param)


def _function(name: str, tool: FunctionTool | CustomTool) -> Function:
    if isinstance(tool, FunctionTool):
        return Function(name=name, description=tool.description, parameters=tool.parameters, strict=tool.strict)
    told = tool.description or ""
    if tool.format is not None and tool.format.definition:
        told += f"\n\nThe input is text in this {tool.format.syntax or 'lark'} grammar:\n{tool.format.definition}"
    return Function(name=name, description=told.strip() or None, parameters=dict(INPUT))


def _echo(tool: dict[str, Any]) -> dict[str, Any]:
    """With what OpenAI's answers always tell of a tool."""
    if tool["type"] == "function":
        return {"parameters": None, "strict": None} | tool
    if tool["type"] == "mcp":
        return {"allowed_tools": None, "headers": None, "require_approval": "always"} | tool
    return tool


def choose(chat: ChatRequest, asked: Prompted, tools: Tools) -> None:
    """Show `chat` the tools that may be called, and say whether one must be. Raises `InvalidRequest`."""
    chat.tools = tools.functions or None
    choice = asked.tool_choice
    if choice is None:
        return
    if isinstance(choice, str):
        if choice == "required" and not tools.functions:
            raise InvalidValue("'tool_choice' needs 'tools'.", param="tool_choice")
        chat.tool_choice = choice if tools.functions else None
    elif choice.type in ROLES and tools.hosted:
        chosen = _of_server(choice.type, choice.server_label, choice.name, tools, "tool_choice")
        chat.tools = [tool for tool in tools.functions if tool.function.name in chosen]
        chat.tool_choice = "required"
    elif choice.type in HOSTED:
        raise _not_here(choice.type, "tool_choice.type")
    elif choice.type == "allowed_tools":
        _allow(chat, choice, tools)
    elif choice.type in _NESTED:
        if choice.name is None:
            raise MissingParameter("Missing required parameter: 'tool_choice.name'.", param="tool_choice.name")
        name = _chosen(choice.name, choice.namespace, tools, "tool_choice.name")
        chat.tool_choice = NamedToolChoice(NamedFunction(name))
    else:
        raise InvalidValue(
            "Invalid value for 'tool_choice.type'. Supported values: function, custom, allowed_tools.",
            param="tool_choice.type",
        )


def _allow(chat: ChatRequest, choice: ToolChoice, tools: Tools) -> None:
    """The model is shown no others."""
    allowed: set[str] = set()
    for index, one in enumerate(choice.tools or ()):
        at = f"tool_choice.tools[{index}]"
        kind, name, namespace = one.get("type"), one.get("name"), one.get("namespace")
        if isinstance(kind, str) and kind in ROLES and tools.hosted:
            allowed |= _of_server(kind, one.get("server_label"), name, tools, at)
            continue
        if isinstance(kind, str) and kind in HOSTED:
            raise _not_here(kind, f"{at}.type")
        if not isinstance(name, str):
            raise MissingParameter(f"Missing required parameter: '{at}.name'.", param=f"{at}.name")
        if kind == "namespace":
            allowed |= {function for function, named in tools.names.items() if named.namespace == name}
        else:
            allowed.add(_chosen(name, namespace if isinstance(namespace, str) else None, tools, f"{at}.name"))
    if not allowed:
        raise InvalidValue("'tool_choice.tools' names no tool.", param="tool_choice.tools")
    chat.tools = [tool for tool in tools.functions if tool.function.name in allowed]
    chat.tool_choice = choice.mode or "auto"


def _chosen(name: str, namespace: str | None, tools: Tools, param: str) -> str:
    found = function_name(namespace, name)
    if found not in tools.names:
        raise InvalidValue(f"'{param}' names a tool that is not in 'tools'.", param=param)
    return found


def _of_server(kind: str, label: object, name: object, tools: Tools, at: str) -> set[str]:
    """The functions of a tool that the gateway runs, or of an MCP server the one that is named. Never empty."""
    if kind == "mcp":
        if not isinstance(label, str):
            raise MissingParameter(f"Missing required parameter: '{at}.server_label'.", param=f"{at}.server_label")
        found = {
            function
            for function, named in tools.names.items()
            if named.server is not None and named.namespace == label and name in (None, named.name)
        }
    else:
        item = f"{ROLES[kind]}_call"
        found = {function for function, named in tools.names.items() if named.kind == item}
    if not found:
        raise InvalidValue(f"'{at}' names a tool that is not in 'tools', or that its server does not have.", param=at)
    return found
