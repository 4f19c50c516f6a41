"""The part of a chat request that becomes the prompt, as an engine gets it: what is sent and what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from msgspec import Struct, structs

from server.config import Model
from server.openai.chat_request import (
    AssistantMessage,
    ChatRequest,
    DeveloperMessage,
    FunctionCall,
    Message,
    RefusalPart,
    TextPart,
    Tool,
)

HarmonyEffort = Literal["low", "medium", "high"]

EFFORTS: Mapping[str, HarmonyEffort] = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""Harmony knows three efforts; the nearest of OpenAI's others."""


class EngineToolCall(Struct):
    """Unlike a request's, with every field: vLLM refuses a call without `type`."""

    id: str
    function: FunctionCall
    type: str = "function"


class ChatPrompt(NamedTuple):
    messages: list[Message]
    tools: list[Tool]  # empty where the model is shown none
    effort: HarmonyEffort | None  # None: the engine's own default


def chat_prompt(body: ChatRequest, model: Model) -> ChatPrompt:
    """The operator's message in front, assistants' messages in the form that reaches the model."""
    messages = [_message(message) for message in body.messages]
    if model.developer_prompt:
        messages.insert(0, DeveloperMessage(content=model.developer_prompt))
    # `tool_choice: none` is kept by not showing the tools: vLLM shows them and loses the call that may come.
    tools = body.tools if body.tools and body.tool_choice != "none" else []
    effort = body.reasoning_effort or model.defaults.reasoning_effort
    return ChatPrompt(messages, tools, EFFORTS[effort] if effort else None)


def _message(message: Message) -> Message:
    """An assistant message keeps what the model wrote, a part its text; the rest of what SDKs send along goes."""
    if not isinstance(message, AssistantMessage):
        if isinstance(message.content, str):
            return message
        parts = [TextPart(part.text) for part in message.content if isinstance(part, TextPart)]
        return structs.replace(message, content=parts)
    calls = [
        EngineToolCall(call.id, FunctionCall(name=call.function.name, arguments=call.function.arguments))
        for call in message.tool_calls or ()
    ]
    return AssistantMessage(
        content=_said(message),
        name=message.name,
        refusal=None,
        tool_calls=calls or None,  # pyright: ignore[reportArgumentType]
        reasoning=message.reasoning or message.reasoning_content,
    )


def _said(message: AssistantMessage) -> str | None:
    """As one text: vLLM drops refusals, and all of an answer in parts whose first one is empty."""
    content = message.content
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, TextPart | RefusalPart)]
        content = "".join(part.text if isinstance(part, TextPart) else part.refusal for part in parts)
    return content or message.refusal or content
