"""The body of POST /v1/chat/completions: every field that a client may send, and nothing else.

msgspec refuses what is not listed here, at any depth, so no unknown field can reach an engine. null and absent mean
the same, as in OpenAI's API, and neither is passed on.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
"""Names that the model's prompt format writes unescaped into a header: nothing else may pass."""

AuthorName = Annotated[str, Meta(pattern=r"^[^\s<|\\/>]{1,64}\Z")]
"""As OpenAI has it, any script included; what control tokens are made of is out."""

ShortText = Annotated[str, Meta(max_length=64)]
Empty = Annotated[list[Any], Meta(max_length=0)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
NotNegative = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Choices = Annotated[int, Meta(ge=1, le=16)]
StopText = Annotated[str, Meta(min_length=1, max_length=256)]
StopList = Annotated[list[StopText], Meta(max_length=4)]
LogitBias = Annotated[
    dict[Annotated[str, Meta(pattern=r"^[0-9]{1,6}\Z")], Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)
]
Metadata = Annotated[dict[ShortText, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Strict(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Base of request parts."""


class CacheBreakpoint(Strict):
    mode: Literal["explicit"]


class CacheOptions(Strict):
    ttl: Literal["30m"] | None = None
    mode: Literal["implicit", "explicit"] | None = None


class TextPart(Strict, tag_field="type", tag="text"):
    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None  # a hint; the engine caches prefixes by itself


class RefusalPart(Strict, tag_field="type", tag="refusal"):
    refusal: str


class ImagePart(Struct, tag_field="type", tag="image_url"):
    """Known, to be refused with a helpful message: gpt-oss reads text."""


class AudioPart(Struct, tag_field="type", tag="input_audio"):
    """Known, to be refused."""


class FilePart(Struct, tag_field="type", tag="file"):
    """Known, to be refused."""


NotEmpty = Meta(min_length=1)
Text = str | Annotated[list[TextPart], NotEmpty]
Content = str | Annotated[list[TextPart | RefusalPart | ImagePart | AudioPart | FilePart], NotEmpty]


class SystemMessage(Strict, tag_field="role", tag="system"):
    content: Text
    name: AuthorName | None = None


class DeveloperMessage(Strict, tag_field="role", tag="developer"):
    content: Text
    name: AuthorName | None = None


class UserMessage(Strict, tag_field="role", tag="user"):
    content: Content
    name: AuthorName | None = None


class FunctionCall(Strict):
    name: Identifier
    arguments: str
    parsed_arguments: Any = None  # echoed by SDKs that parse; not passed on


class ToolCall(Strict):
    id: Annotated[str, Meta(min_length=1, max_length=256)]
    function: FunctionCall
    type: Literal["function"] = "function"
    index: int | None = None  # echoed by clients that keep the deltas of a stream


class AssistantMessage(Strict, tag_field="role", tag="assistant"):
    content: Content | None = None
    name: AuthorName | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    parsed: Any = None  # echoed by SDKs that parse; not passed on
    annotations: Empty | None = None  # these three are echoed, empty, by SDKs that dump a message
    audio: None = None
    function_call: None = None


class ToolMessage(Strict, tag_field="role", tag="tool"):
    content: Text
    tool_call_id: str
    name: Identifier | None = None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Strict):
    name: Identifier
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Strict, tag_field="type", tag="function"):
    function: Function


class NamedFunction(Strict):
    name: Identifier


class NamedToolChoice(Strict, tag_field="type", tag="function"):
    function: NamedFunction


class TextFormat(Strict, tag_field="type", tag="text"):
    pass


class JsonObjectFormat(Strict, tag_field="type", tag="json_object"):
    pass


class JsonSchema(Strict):
    name: Identifier
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class JsonSchemaFormat(Strict, tag_field="type", tag="json_schema"):
    json_schema: JsonSchema


class StreamOptions(Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class InlineMode(Strict):
    mode: Literal["score", "block"]


class InlineModes(Strict):
    input: InlineMode | None = None
    output: InlineMode | None = None


class InlineModeration(Strict):
    """`model` is one of OpenAI's names, for the policies that apply anyhow, or a policy. No mode is `score`."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    policy: InlineModes | None = None

    @property
    def blocks_input(self) -> bool:
        return self.policy is not None and self.policy.input is not None and self.policy.input.mode == "block"

    @property
    def blocks_output(self) -> bool:
        return self.policy is not None and self.policy.output is not None and self.policy.output.mode == "block"


class Sampling(Strict, kw_only=True):
    """What chat completions and completions share. The last block is vLLM's and allowed by `models.*.extra_fields`."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    max_tokens: Positive | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    n: Choices | None = None
    seed: Seed | None = None
    stop: StopText | StopList | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    guardrails: Annotated[list[ShortText], Meta(max_length=8)] | None = None  # ours: policies to look at it besides

    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    length_penalty: float | None = None
    min_tokens: NotNegative | None = None
    include_stop_str_in_output: bool | None = None


class ChatRequest(Sampling, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1, max_length=4096)]
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    reasoning_effort: Effort | None = None

    # Taken and kept here: they mean nothing to the engine.
    metadata: Metadata | None = None
    store: bool | None = None
    safety_identifier: ShortText | None = None
    prompt_cache_key: Annotated[str, Meta(max_length=256)] | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    prompt_cache_options: CacheOptions | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None

    moderation: InlineModeration | None = None  # done here too: see moderation/inline.py

    # Known to OpenAI, not to gpt-oss: refused with a way out, see validate.py.
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
    functions: Any = None
    function_call: Any = None


class CompletionRequest(Sampling, kw_only=True):
    """The body of POST /v1/completions. Prompts of token ids would step around every filter: text only."""

    prompt: str | Annotated[list[str], Meta(min_length=1, max_length=64)]
    max_tokens: NotNegative | None = None  # 0 with `echo` scores the prompt
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None

    best_of: Any = None  # 1 is OpenAI's default and says nothing
    suffix: Any = None


def choices_of(body: Sampling) -> int:
    """How many answers an engine makes: `n` for each prompt."""
    prompts = len(body.prompt) if isinstance(body, CompletionRequest) and isinstance(body.prompt, list) else 1
    return (body.n or 1) * prompts
