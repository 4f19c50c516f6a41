"""A chat as harmony messages, by the rules of vLLM 0.32 (entrypoints/openai/parser/harmony_utils.py). Pure.

Harmony encodes a message in pieces that do not touch each other: its header, then each text. So a chat is told here as
headers and texts, and its tokens are the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from server.openai.chat_request import AssistantMessage, DeveloperMessage, Message, SystemMessage, TextPart, ToolMessage
from server.openai.prompt import ChatPrompt

INSTRUCTIONS = "# Instructions\n\n"


class Header(NamedTuple):
    """What comes before a message's text, and the control token after it."""

    role: str
    channel: str | None = None
    function: str | None = None  # called by the assistant, or answered by the tool


class HarmonyMessage(NamedTuple):
    header: Header | None  # None: the text belongs to the developer message that shows the tools
    texts: Sequence[str]
    source: int = 0  # which of the prompt's messages it is of


ANALYSIS = Header("assistant", "analysis")
COMMENTARY = Header("assistant", "commentary")
FINAL = Header("assistant", "final")
DEVELOPER = Header("developer")


def harmony_messages(prompt: ChatPrompt) -> list[HarmonyMessage]:
    """All but the system message and the tools."""
    first, rest = _instructions(prompt)
    names: dict[str, str] = {}  # an id that comes twice has its last name everywhere, as in vLLM
    for message in rest:
        if isinstance(message, AssistantMessage):
            names.update((call.id, call.function.name) for call in message.tool_calls or ())
    start = len(prompt.messages) - len(rest)
    found = [
        *first,
        *(one._replace(source=at) for at, message in enumerate(rest, start) for one in _messages(message, names)),
    ]
    return _without_old_analysis(found)


def _instructions(prompt: ChatPrompt) -> tuple[list[HarmonyMessage], list[Message]]:
    """A leading system or developer message shares the developer message of the tools."""
    leading = prompt.messages[0]
    if not isinstance(leading, SystemMessage | DeveloperMessage):
        return [], prompt.messages
    text = _flat(leading.content)
    rest = prompt.messages[1:]
    if prompt.tools:
        # A new line ends a piece, and so the tools below begin one of their own.
        return [] if text is None else [HarmonyMessage(None, [f"{INSTRUCTIONS}{text}\n\n"])], rest
    return [HarmonyMessage(DEVELOPER, [INSTRUCTIONS + text])] if text else [], rest


def _messages(message: Message, names: dict[str, str]) -> Iterator[HarmonyMessage]:
    match message:
        case AssistantMessage():
            yield from _assistant(message)
        case ToolMessage():
            name = names.get(message.tool_call_id, "")
            yield HarmonyMessage(Header("tool", "commentary", name), [_flat(message.content) or ""])
        case SystemMessage() | DeveloperMessage():
            text = _flat(message.content)
            if text is not None:
                yield HarmonyMessage(DEVELOPER, [INSTRUCTIONS + text])
        case _:
            yield HarmonyMessage(Header("user"), _parts(message.content))


def _assistant(message: AssistantMessage) -> Iterator[HarmonyMessage]:
    """Its content is one text by now (openai/prompt.py)."""
    text = message.content if isinstance(message.content, str) else ""
    calls = message.tool_calls or ()
    if calls and text:
        yield HarmonyMessage(COMMENTARY, [text])
    if message.reasoning:
        yield HarmonyMessage(ANALYSIS, [message.reasoning])
    for call in calls:
        header = Header("assistant", "commentary", call.function.name)
        yield HarmonyMessage(header, [call.function.arguments])
    if text and not calls:
        yield HarmonyMessage(FINAL, [text])


def _without_old_analysis(messages: list[HarmonyMessage]) -> list[HarmonyMessage]:
    """The model is not shown its reasoning from before its last final answer."""
    last = max((index for index, one in enumerate(messages) if one.header == FINAL), default=-1)
    return [one for index, one in enumerate(messages) if index >= last or one.header != ANALYSIS]


def _flat(content: object) -> str | None:
    if isinstance(content, str):
        return content
    parts = _parts(content) if content else ()
    return "".join(parts) if parts else None


def _parts(content: object) -> list[str]:
    """Each is encoded by itself."""
    if isinstance(content, list):
        return [part.text for part in content if isinstance(part, TextPart)]  # pyright: ignore[reportUnknownVariableType]
    return [content] if isinstance(content, str) else []
