"""The items of a conversation: what a client sends as `input`, and what is stored of earlier turns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from server.errors import InvalidValue, MissingParameter, UnsupportedValue
from server.openai.chat_request import CacheBreakpoint, Strict
from server.openai.parse import parse_part
from server.responses.request import ALLOWED, Id, ToolName

Status = Literal["in_progress", "completed", "incomplete"]
HostedStatus = Literal["in_progress", "completed", "incomplete", "calling", "interpreting", "failed"]


class InputText(Strict, tag_field="type", tag="input_text"):
    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None  # a hint; the engine caches prefixes by itself


class OutputText(Strict, tag_field="type", tag="output_text"):
    text: str
    annotations: Any = None  # these are echoed by SDKs from an answer
    logprobs: Any = None
    parsed: Any = None


class Refusal(Strict, tag_field="type", tag="refusal"):
    refusal: str


class InputImage(Struct, tag_field="type", tag="input_image"):
    """Known, to be refused: gpt-oss reads text."""


class InputFile(Struct, tag_field="type", tag="input_file"):
    """Known, to be refused."""


class InputAudio(Struct, tag_field="type", tag="input_audio"):
    """Known, to be refused."""


Part = InputText | OutputText | Refusal | InputImage | InputFile | InputAudio
Parts = str | Annotated[list[Part], Meta(max_length=2048)]


class SummaryText(Strict, tag_field="type", tag="summary_text"):
    text: str


class ReasoningText(Strict, tag_field="type", tag="reasoning_text"):
    text: str


class AnyState(Strict, kw_only=True):
    """An item whatever it has for a status."""

    type: str | None = None
    id: Id | None = None
    created_by: str | None = None


class Item(AnyState, kw_only=True):
    status: Status | None = None


class Message(Item, kw_only=True):
    role: Literal["user", "assistant", "system", "developer"]
    content: Parts
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCall(Item, kw_only=True):
    call_id: Id
    name: ToolName
    arguments: str
    namespace: ToolName | None = None
    caller: Any = None
    parsed_arguments: Any = None  # echoed by SDKs that parse


class CustomCall(Item, kw_only=True):
    call_id: Id
    name: ToolName
    input: str
    namespace: ToolName | None = None
    caller: Any = None


class CallOutput(Item, kw_only=True):
    """Of a function or of a custom tool."""

    call_id: Id
    output: Parts
    name: ToolName | None = None
    namespace: ToolName | None = None
    caller: Any = None


class ReasoningItem(Item, kw_only=True):
    summary: list[SummaryText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class Compaction(Item, kw_only=True):
    """What stands for the conversation before it, but for what users said."""

    encrypted_content: str


class CompactionTrigger(Item, kw_only=True):
    """At the end of an input: it is to be compacted."""


class Reference(Item, kw_only=True):
    """Of a stored item, by its id."""


class McpListTools(AnyState, kw_only=True):
    server_label: str
    tools: Any = None  # which tools there are its server says, and not a client
    error: Any = None


class McpCall(AnyState, kw_only=True):
    server_label: str
    name: str
    arguments: str
    status: HostedStatus | None = None
    output: str | None = None
    error: Any = None
    approval_request_id: Id | None = None


class ApprovalRequest(AnyState, kw_only=True):
    server_label: str
    name: str
    arguments: str


class ApprovalResponse(AnyState, kw_only=True):
    approval_request_id: Id
    approve: bool
    reason: str | None = None
    request_id: Any = None  # the same again: OpenAI's schema asks for it in answers


class CodeCall(AnyState, kw_only=True):
    code: str | None
    outputs: Any = None
    status: HostedStatus | None = None
    container_id: str | None = None


class WebSearchCall(AnyState, kw_only=True):
    """What was called and found is sealed, for the model alone."""

    action: dict[str, Any]
    status: Literal["in_progress", "searching", "completed", "failed"] | None = None
    encrypted_content: str | None = None


AnyItem = (
    Message | FunctionCall | CustomCall | CallOutput | ReasoningItem | Reference
    | Compaction | CompactionTrigger
    | McpListTools | McpCall | ApprovalRequest | ApprovalResponse | CodeCall | WebSearchCall
)  # fmt: skip


class Kind(Struct):
    """What tells which of them it is."""

    type: str | None = None
    role: Any = None
    id: Any = None


SHAPES: Mapping[str, type[AnyItem]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": CallOutput,
    "custom_tool_call": CustomCall,
    "custom_tool_call_output": CallOutput,
    "reasoning": ReasoningItem,
    "compaction": Compaction,
    "compaction_trigger": CompactionTrigger,
    "item_reference": Reference,
    "mcp_list_tools": McpListTools,
    "mcp_call": McpCall,
    "mcp_approval_request": ApprovalRequest,
    "mcp_approval_response": ApprovalResponse,
    "code_interpreter_call": CodeCall,
    "web_search_call": WebSearchCall,
}
ELSEWHERE = frozenset(
    (
        "file_search_call", "computer_call", "computer_call_output", "image_generation_call",
        "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call",
        "apply_patch_call_output", "tool_search_call", "tool_search_output", "additional_tools", "program",
        "program_output",
    )
)  # fmt: skip
"""Of tools that run at OpenAI, and of what else only its service makes."""

_KIND = msgspec.json.Decoder(Kind)
_DECODERS: Mapping[str, msgspec.json.Decoder[AnyItem]] = {
    name: msgspec.json.Decoder(shape) for name, shape in SHAPES.items()
}


def item_of(raw: Raw | bytes, where: str) -> AnyItem:
    """Raises `InvalidRequest` with a path that begins with `where`: `input[2].content`."""
    kind = _kind_of(parse_part(_KIND, raw, where), where)
    return parse_part(_DECODERS[kind], raw, where, ALLOWED)


def referred(raw: Raw | bytes, where: str) -> str | None:
    """The id of the stored item that this one refers to; None where it is an item itself."""
    kind = parse_part(_KIND, raw, where)
    if kind.type not in (None, "item_reference") or kind.role is not None:
        return None
    return kind.id if isinstance(kind.id, str) else None


def is_trigger(raw: Raw | bytes, where: str) -> bool:
    return parse_part(_KIND, raw, where).type == "compaction_trigger"


def _kind_of(kind: Kind, where: str) -> str:
    """Easy messages have no `type`, references may have none."""
    name = kind.type
    if name is None:
        if kind.role is None and kind.id is None:
            raise MissingParameter(f"Missing required parameter: '{where}.type'.", param=f"{where}.type")
        return "message" if kind.role is not None else "item_reference"
    if name in SHAPES:
        return name
    if name in ELSEWHERE:
        raise UnsupportedValue(
            f"Items of type '{name}' belong to tools and services of OpenAI's that are not here; leave them out.",
            param=f"{where}.type",
        )
    there = ", ".join(SHAPES)
    raise InvalidValue(f"Invalid value for '{where}.type'. Supported values: {there}.", param=f"{where}.type")
