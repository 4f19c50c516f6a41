"""The gpt-oss vocabulary, and the tokens of what a prompt is made of. It comes with oss-harmony: no download.

Loading takes about 0.2 s and 57 MB. oss-harmony holds the interpreter's lock while it encodes, so a thread would not
help: long text is encoded in slices (`slices.py`), with the event loop in between.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
from openai_harmony import (  # pyright: ignore[reportMissingTypeStubs]
    Author,
    DeveloperContent,
    HarmonyEncodingName,
    Message,
    ReasoningEffort,
    RenderOptions,
    Role,
    SystemContent,
    ToolDescription,
    load_harmony_encoding,
)

from server.openai.chat_request import Function
from server.openai.prompt import HarmonyEffort
from server.tokens.rendering import Header

ANY_DATE = "2026-01-01"  # every date of this form has as many tokens
CALL_HEADER = ("<|start|>", "<|channel|>", "<|message|>", "<|call|>")  # control tokens around a call of a function
NEXT_TURN = 2  # <|start|>assistant
WITH_TOOLS = RenderOptions(conversation_has_function_tools=True)
OTHER_TOOL = ToolDescription(name="f", description="")
_EFFORTS = {"low": ReasoningEffort.LOW, "medium": ReasoningEffort.MEDIUM, "high": ReasoningEffort.HIGH}
_FUNCTION = msgspec.json.Decoder(Function)


class Vocabulary:
    """Counts. What repeats from call to call (headers, tools) is remembered, the last few hundred of each."""

    def __init__(self) -> None:
        self._encoding = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
        self.header = lru_cache(4096)(self._header)
        self.preamble = lru_cache(256)(self._preamble)
        self.further_tool = lru_cache(1024)(self._further_tool)
        self._only_other_tool = self._tools([OTHER_TOOL])

    def text(self, text: str) -> int:
        """Ordinary text: what looks like a control token in it is none."""
        return len(self._encoding.encode(text, disallowed_special=()))

    def _header(self, header: Header) -> int:
        """A whole message, less its text."""
        if header.role == "assistant" and header.function is not None:
            # vLLM writes calls in the form that gpt-oss was trained on, which is not oss-harmony's.
            return (
                len(CALL_HEADER) + self.text(f"assistant to=functions.{header.function}") + self.text("commentary json")
            )
        name = f"functions.{header.function}" if header.role == "tool" else None
        message = Message.from_author_and_content(Author(role=Role(header.role), name=name), "")
        if header.role == "tool":
            message = message.with_recipient("assistant")
        return len(self._encoding.render(message.with_channel(header.channel) if header.channel else message))

    def _preamble(self, effort: HarmonyEffort | None, first_tool: bytes | None) -> int:
        """The system message; with a tool the developer message that shows it; and the beginning of the answer."""
        if first_tool is None:
            return self._system(effort, RenderOptions()) + NEXT_TURN
        return self._system(effort, WITH_TOOLS) + self._tools([_described(first_tool)]) + NEXT_TURN

    def other_tool(self, effort: HarmonyEffort | None) -> int:
        """A preamble with a tool of one letter."""
        return self.preamble(effort, b'{"name":"f"}')

    def _further_tool(self, tool: bytes) -> int:
        """A tool after another one. In between is `any;`, where a word ends, so it has these tokens wherever it is."""
        return self._tools([OTHER_TOOL, _described(tool)]) - self._only_other_tool

    def _system(self, effort: HarmonyEffort | None, options: RenderOptions) -> int:
        content = SystemContent.new().with_conversation_start_date(ANY_DATE)
        if effort is not None:
            content = content.with_reasoning_effort(_EFFORTS[effort])
        return len(self._encoding.render(Message.from_role_and_content(Role.SYSTEM, content), options))

    def _tools(self, tools: list[ToolDescription]) -> int:
        content = DeveloperContent.new().with_function_tools(tools)
        return len(self._encoding.render(Message.from_role_and_content(Role.DEVELOPER, content)))


def _described(tool: bytes) -> ToolDescription:
    function = _FUNCTION.decode(tool)
    return ToolDescription(name=function.name, description=function.description or "", parameters=function.parameters)
