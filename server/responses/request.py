"""The body of POST /v1/responses, in OpenAI's shape: every field that a client may send, and nothing else.

What changes nothing here is taken and kept; what would change the answer and cannot be done is refused with a way out
(translate.py, tools.py). Items have shapes of their own (items.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Raw

from server.openai.chat_request import (
    CacheOptions,
    Effort,
    InlineModeration,
    JsonObjectFormat,
    Metadata,
    Positive,
    ShortText,
    Strict,
    Temperature,
    TextFormat,
    TopP,
)

MOST_ITEMS = 4096
ALLOWED: Mapping[str, str] = {
    "role": "user, assistant, system, developer",
    "content.type": "input_text, output_text, refusal",
    "output.type": "input_text",
    "tool_choice": "none, auto, required, or an object with a type",
    "truncation": "auto, disabled",
    "effort": "none, minimal, low, medium, high, xhigh, max",
    "summary": "auto, concise, detailed",
    "verbosity": "low, medium, high",
    "format.type": "text, json_object, json_schema",
    "service_tier": "auto, default, flex, scale, priority, fast, ultrafast",
    "status": "in_progress, completed, incomplete",
    "include": "reasoning.encrypted_content, message.output_text.logprobs",
}
"""What an error tells of a field with a fixed set of values, by the end of its path."""

Id = Annotated[str, Meta(min_length=1, max_length=256)]
ToolName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
"""The prompt format writes it unescaped into a header."""
Input = str | Annotated[list[Raw], Meta(max_length=MOST_ITEMS)]
CacheRetention = Literal["in_memory", "in-memory", "24h"]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]
Include = Literal[
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
    "file_search_call.results",  # of tools that are not there: these say nothing
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
]


class JsonSchemaFormat(Strict, tag_field="type", tag="json_schema"):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextOptions(Strict):
    format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Strict):
    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None  # its old name
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: Literal["standard"] | None = None


class ToolChoice(Strict):
    """`function` or `custom` with a name, or `allowed_tools` with `mode` and `tools`."""

    type: str
    name: ToolName | None = None
    namespace: ToolName | None = None
    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=128)] | None = None
    server_label: str | None = None  # of an MCP server: refused by its type


class ConversationOf(Strict):
    id: Id


class StreamOptions(Strict):
    include_obfuscation: bool | None = None


class Prompted(Strict, kw_only=True):
    """What the model reads: the body of POST /v1/responses/input_tokens, and a part of that of /v1/responses."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    input: Input | None = None
    instructions: str | None = None
    previous_response_id: Id | None = None
    conversation: Id | ConversationOf | None = None
    tools: Annotated[list[Raw], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None

    @property
    def conversation_id(self) -> str | None:
        asked = self.conversation
        return asked.id if isinstance(asked, ConversationOf) else asked


class InputTokensRequest(Prompted, kw_only=True):
    personality: str | None = None


class CompactRequest(Prompted, kw_only=True):
    """The body of POST /v1/responses/compact. OpenAI's has no tools; Codex tells them."""

    prompt_cache_key: Annotated[str, Meta(max_length=256)] | None = None
    prompt_cache_options: CacheOptions | None = None
    prompt_cache_retention: CacheRetention | None = None
    service_tier: ServiceTier | None = None
    client_metadata: Any = None


class ResponsesRequest(Prompted, kw_only=True):
    background: bool | None = None
    include: list[Include] | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Positive | None = None  # counts calls of tools that run at the server: there are none
    metadata: Metadata | None = None
    moderation: InlineModeration | None = None
    prompt_cache_key: Annotated[str, Meta(max_length=256)] | None = None
    prompt_cache_options: CacheOptions | None = None
    prompt_cache_retention: CacheRetention | None = None
    safety_identifier: ShortText | None = None
    service_tier: ServiceTier | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    top_p: TopP | None = None
    user: str | None = None
    client_metadata: Any = None  # sent by Codex; nothing here reads it
    guardrails: Annotated[list[ShortText], Meta(max_length=8)] | None = None  # ours: policies to look at it besides

    # Known to OpenAI, and refused: see translate.py.
    context_management: Any = None
    prompt: Any = None

    @property
    def stored(self) -> bool:
        return self.store is not False

    @property
    def seals(self) -> bool:
        """Reasoning is to come back from the client, as nothing here keeps it."""
        return self.include is not None and "reasoning.encrypted_content" in self.include

    @property
    def logprobs(self) -> bool:
        return self.top_logprobs is not None or (
            self.include is not None and "message.output_text.logprobs" in self.include
        )
