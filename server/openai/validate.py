"""What the shape of a request cannot say: rules between fields, and fields that are known but not served."""

from __future__ import annotations

import re
from operator import attrgetter

from server.errors import ContextLengthExceeded, InvalidRequest, InvalidValue, UnknownParameter, UnsupportedValue
from server.openai.chat_request import (
    AssistantMessage,
    AudioPart,
    ChatRequest,
    CompletionRequest,
    FilePart,
    ImagePart,
    Message,
    NamedToolChoice,
    RefusalPart,
    Sampling,
    ToolMessage,
)

_UNSERVED = {
    "audio": "gpt-oss writes text; leave it out",
    "prediction": "predicted outputs are not available; leave it out",
    "web_search_options": "web search is not available; offer a function tool instead",
    "functions": "it is deprecated; use tools",
    "function_call": "it is deprecated; use tool_choice",
    "best_of": "use n",
    "suffix": "gpt-oss cannot fill in the middle",
}
_CHAT_UNSERVED = ("audio", "prediction", "web_search_options", "functions", "function_call")
_PARTS = {ImagePart: "images", AudioPart: "audio", FilePart: "files"}
EXTRA_FIELDS = (
    "top_k",
    "min_p",
    "repetition_penalty",
    "min_tokens",
    "length_penalty",
    "include_stop_str_in_output",
)
_extra_fields = attrgetter(*EXTRA_FIELDS)  # all at once: this is asked of every request, and hardly ever is one set
_NO_EXTRA_FIELDS = (None,) * len(EXTRA_FIELDS)
_CONTROL_TOKEN = re.compile(r"<\|[a-z0-9_]{1,32}\|>")


def validate_chat(request: ChatRequest) -> None:
    """Raises `InvalidRequest` for what the prompt format or the engine would get wrong."""
    _unserved(request, _CHAT_UNSERVED)
    _stream_options(request)
    if request.modalities and "audio" in request.modalities:
        raise UnsupportedValue("gpt-oss writes text: 'modalities' can only be ['text'].", param="modalities")
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidValue("'top_logprobs' needs 'logprobs': true.", param="top_logprobs")
    if request.max_tokens is not None and request.max_completion_tokens is not None:
        raise InvalidRequest("Set only one of 'max_tokens' and 'max_completion_tokens'.", param="max_tokens")
    _tools(request)
    _messages(request.messages)


def validate_completion(request: CompletionRequest, *, raw_special_tokens: bool) -> None:
    """Raises `InvalidRequest`; control tokens in a raw prompt could forge roles and channels."""
    _unserved(request, ("suffix",))
    if request.best_of not in (None, 1):
        raise _unsupported("best_of")
    _stream_options(request)
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    if not all(prompts):
        raise InvalidValue("The prompt is empty.", param="prompt")
    if raw_special_tokens:
        return
    if any(_CONTROL_TOKEN.search(prompt) for prompt in prompts):
        raise InvalidValue(
            "The prompt holds a control token such as <|start|>. Use /v1/chat/completions, "
            "or ask the operator to set models.*.raw_special_tokens.",
            param="prompt",
        )


def check_extra_fields(request: Sampling, allowed: tuple[str, ...]) -> None:
    """vLLM's own sampling fields pass only where the model's configuration lists them."""
    if _extra_fields(request) == _NO_EXTRA_FIELDS:
        return
    for name in EXTRA_FIELDS:
        if getattr(request, name) is not None and name not in allowed:
            raise UnknownParameter(
                f"Unknown parameter: '{name}'; the operator can allow it in models.*.extra_fields.", param=name
            )


def check_length(asked: int | None, param: str, context_length: int) -> None:
    """An answer alone cannot be longer than the model's context."""
    if asked is not None and asked > context_length:
        raise ContextLengthExceeded(
            f"'{param}' is {asked}, but this model's context length is {context_length} tokens for prompt and answer "
            f"together. Ask for less.",
            param=param,
        )


def _unserved(request: Sampling, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(request, name) is not None:
            raise _unsupported(name)


def _unsupported(name: str) -> UnsupportedValue:
    return UnsupportedValue(f"'{name}' is not supported: {_UNSERVED[name]}.", param=name)


def _stream_options(request: Sampling) -> None:
    if request.stream_options is not None and not request.stream:
        raise InvalidValue("'stream_options' needs 'stream': true.", param="stream_options")


def _tools(request: ChatRequest) -> None:
    if request.tools is None and request.tool_choice is None:
        return
    names = {tool.function.name for tool in request.tools or ()}
    if len(names) != len(request.tools or ()):
        raise InvalidValue("Two tools have the same name.", param="tools")
    choice = request.tool_choice
    if choice not in (None, "none") and not names:
        raise InvalidValue("'tool_choice' needs 'tools'.", param="tool_choice")
    if isinstance(choice, NamedToolChoice) and choice.function.name not in names:
        raise InvalidValue("'tool_choice' names a function that is not in 'tools'.", param="tool_choice.function.name")


def _messages(messages: list[Message]) -> None:
    open_calls: set[str] = set()
    for position, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                raise InvalidValue(
                    "A message with role 'tool' must answer a tool call of an assistant message before it: "
                    "no open call has this 'tool_call_id'.",
                    param=f"messages[{position}].tool_call_id",
                )
            open_calls.discard(message.tool_call_id)
            continue
        if open_calls:
            raise InvalidValue(
                "An assistant message with 'tool_calls' must be followed by one tool message for each call.",
                param=f"messages[{position}].role",
            )
        if isinstance(message, AssistantMessage):
            open_calls = _calls(message, position)
        if isinstance(message.content, list):
            _parts(message, position)
    if open_calls:
        raise InvalidValue(
            "An assistant message with 'tool_calls' must be followed by one tool message for each call.",
            param=f"messages[{len(messages) - 1}].tool_calls",
        )


def _calls(message: AssistantMessage, position: int) -> set[str]:
    """The ids of the calls in an assistant's message, which without any must say something."""
    calls = message.tool_calls
    if not calls:
        if message.content is None and message.refusal is None and not (message.reasoning or message.reasoning_content):
            raise InvalidValue(
                "An assistant message needs 'content', 'refusal' or 'tool_calls'.",
                param=f"messages[{position}].content",
            )
        return set()
    ids = {call.id for call in calls}
    if len(ids) < len(calls):
        raise InvalidValue("Two tool calls have the same id.", param=f"messages[{position}].tool_calls")
    return ids


def _parts(message: Message, position: int) -> None:
    for index, part in enumerate(message.content or ()):
        where = f"messages[{position}].content[{index}]"
        kind = _PARTS.get(type(part))  # type: ignore[arg-type]
        if kind is not None:
            raise UnsupportedValue(
                f"gpt-oss reads text, not {kind}: send a 'text' part instead.", param=f"{where}.type"
            )
        if isinstance(part, RefusalPart) and not isinstance(message, AssistantMessage):
            raise InvalidValue("Only an assistant message has 'refusal' parts.", param=f"{where}.type")
