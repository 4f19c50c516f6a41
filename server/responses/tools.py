"""The tools of a request as functions of a chat completion, and back: which tool a function's call is a call of. Pure.

| Responses | chat completion |
|---|---|
| `function` | the same |
| `custom` | a function with one string, `input`; a grammar is told to the model, not forced |
| `namespace` | each of its tools, as `NAMESPACE__NAME` |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from server.errors import InvalidValue, MissingParameter, UnsupportedValue
from server.openai.chat_request import ChatRequest, Function, NamedFunction, NamedToolChoice, Strict, Tool
from server.openai.parse import parse_part
from server.responses.request import ALLOWED, Prompted, ToolChoice, ToolName

WAYS_OUT: Mapping[str, str] = {
    "mcp": "call the MCP server yourself and offer its tools as functions",
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
    """A tool as its client knows it."""

    kind: Literal["function", "custom"]
    name: str
    namespace: str | None = None


class Tools(NamedTuple):
    """`names` are by the name of the function that it is for the engine; `echo` is what an answer repeats."""

    functions: list[Tool]
    names: Mapping[str, Named]
    echo: list[dict[str, Any]]


NO_TOOLS = Tools([], {}, [])
_KIND = msgspec.json.Decoder(_Kind)
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_DECODERS: Mapping[str, msgspec.json.Decoder[Any]] = {
    "function": msgspec.json.Decoder(FunctionTool),
    "custom": msgspec.json.Decoder(CustomTool),
    "namespace": msgspec.json.Decoder(NamespaceTool),
}
_NESTED = frozenset(("function", "custom"))


def function_name(namespace: str | None, name: str) -> str:
    return f"{namespace}__{name}" if namespace else name


def tools_of(raw: list[Raw] | None) -> Tools:
    """Raises `InvalidRequest` with a path such as `tools[0].name`."""
    if not raw:
        return NO_TOOLS
    functions: list[Tool] = []
    names: dict[str, Named] = {}
    for tool, named in _flat(raw, "tools", frozenset(_DECODERS), None):
        function = function_name(named.namespace, named.name)
        if function in names:
            raise InvalidValue("Two tools have the same name.", param="tools")
        names[function] = named
        functions.append(Tool(_function(function, tool)))
    return Tools(functions, names, [_echo(_OBJECT.decode(one)) for one in raw])


def _flat(
    raw: Iterable[Raw], where: str, kinds: frozenset[str], namespace: str | None
) -> Iterator[tuple[FunctionTool | CustomTool, Named]]:
    for index, one in enumerate(raw):
        at = f"{where}[{index}]"
        tool = _decoded(one, at, kinds)
        if isinstance(tool, NamespaceTool):
            yield from _flat(tool.tools, f"{at}.tools", _NESTED, tool.name)
        else:
            kind = "custom" if isinstance(tool, CustomTool) else "function"
            yield tool, Named(kind, tool.name, namespace)


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
