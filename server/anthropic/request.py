"""The body of POST /v1/messages, in Anthropic's shape: every field that a client may send, and nothing else.

What only hints at caching or at other servers' features is taken and kept here; what would change the answer and cannot
be done is refused with a way out (translate.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from server.openai.chat_request import NotNegative, Positive, StopText, Strict, Temperature, TopP

ALLOWED: Mapping[str, str] = {
    "role": "user, assistant, system",
    "content.type": (
        "text, tool_use, tool_result, thinking, redacted_thinking; "
        "in system messages text, tool_addition, tool_removal; in tool results text, tool_reference"
    ),
}
"""What an error tells of a field with a fixed set of values, by the end of its path."""

ToolName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
"""The prompt format writes it unescaped into a header."""
ToolUseId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,256}\Z")]


class CacheControl(Strict):
    """A hint: the engine caches prefixes by itself."""

    type: Literal["ephemeral"] = "ephemeral"
    ttl: Literal["5m", "1h"] | None = None
    scope: Literal["global", "organization"] | None = None


class TextBlock(Strict, tag_field="type", tag="text"):
    text: str
    cache_control: CacheControl | None = None
    citations: Any = None  # echoed by SDKs from an answer; there are none here


class ThinkingBlock(Strict, tag_field="type", tag="thinking"):
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Strict, tag_field="type", tag="redacted_thinking"):
    """Another server's: nobody here can read it."""

    data: str


class ToolUseBlock(Strict, tag_field="type", tag="tool_use"):
    id: ToolUseId
    name: ToolName
    input: Raw  # an object
    cache_control: CacheControl | None = None
    caller: Any = None  # echoed by SDKs


class ImageBlock(Struct, tag_field="type", tag="image"):
    """Known, to be refused: gpt-oss reads text."""


class DocumentBlock(Struct, tag_field="type", tag="document"):
    """Known, to be refused."""


class SearchResultBlock(Struct, tag_field="type", tag="search_result"):
    """Known, to be refused."""


class FoundTool(Strict, tag_field="type", tag="tool_reference"):
    """What a search for tools found: one of `tools`, offered from here on."""

    tool_name: ToolName
    cache_control: CacheControl | None = None


ResultPart = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | FoundTool


class ToolResultBlock(Strict, tag_field="type", tag="tool_result"):
    tool_use_id: ToolUseId
    content: str | list[ResultPart] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


Block = (
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
)


class ToolReference(Strict, tag_field="type", tag="tool_reference"):
    name: ToolName


class ToolAdditionBlock(Strict, tag_field="type", tag="tool_addition"):
    tool: ToolReference
    cache_control: CacheControl | None = None


class ToolRemovalBlock(Strict, tag_field="type", tag="tool_removal"):
    tool: ToolReference
    cache_control: CacheControl | None = None


SystemBlock = TextBlock | ToolAdditionBlock | ToolRemovalBlock
Content = str | Annotated[list[Block], Meta(min_length=1)]


class UserTurn(Strict, tag_field="role", tag="user"):
    content: Content


class AssistantTurn(Strict, tag_field="role", tag="assistant"):
    content: Content


class TurnConfig(Strict):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class SystemTurn(Strict, tag_field="role", tag="system"):
    """What holds from here on, or for this turn of the user's alone."""

    content: str | list[SystemBlock] = ""
    clear_at: Literal["next_user_message", "never"] | None = None
    output_config: TurnConfig | None = None


Turn = UserTurn | AssistantTurn | SystemTurn


class Tool(Strict):
    name: ToolName
    type: str | None = None  # "custom", or one of Anthropic's own tools, which run on their servers
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None
    input_examples: list[dict[str, Any]] | None = None
    defer_loading: bool | None = None  # offered once it was found or added
    eager_input_streaming: bool | None = None
    allowed_callers: list[str] | None = None


class ToolChoice(Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Strict):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Positive | None = None
    display: Literal["summarized", "omitted"] | None = None


class Format(Strict):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Strict):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Metadata(Strict):
    user_id: Annotated[str, Meta(max_length=1024)] | None = None


class Prompted(Strict, kw_only=True):
    """What the model reads: the body of POST /v1/messages/count_tokens, and a part of that of /v1/messages."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[Turn], Meta(min_length=1, max_length=4096)]
    system: str | list[TextBlock] | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    context_management: Any = None  # asks another server to shorten the conversation; nothing is shortened here
    cache_control: CacheControl | None = None
    mcp_servers: Any = None


class CountRequest(Prompted, kw_only=True):
    pass


class MessagesRequest(Prompted, kw_only=True):
    max_tokens: Positive
    stop_sequences: Annotated[list[StopText], Meta(max_length=16)] | None = None
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: NotNegative | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: Any = None
    inference_geo: str | None = None
    speed: Literal["standard", "fast"] | None = None
    guardrails: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=8)] | None = None  # ours
