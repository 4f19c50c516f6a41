"""From the events of a call to the one JSON body of an answer that is not streamed."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from server.openai.chunks import ENCODER, ChatLogprobs, Choice, Chunk, TextChoice, TextChunk, ToolCallDelta, Usage
from server.openai.events import Event, TextEvent


class Message(Struct, omit_defaults=True):
    role: str
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class MessageChoice(Struct):
    index: int
    message: Message
    logprobs: ChatLogprobs | None
    finish_reason: str | None


class Answer(Struct, omit_defaults=True):
    id: str
    object: str
    created: int
    model: str
    choices: list[MessageChoice] | list[TextChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None


class _Choice:
    """What has come of one choice."""

    __slots__ = ("content", "finish_reason", "logprobs", "reasoning", "refusal", "text_choice", "tools")

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tools: dict[int, dict[str, Any]] = {}
        self.logprobs: ChatLogprobs | None = None
        self.finish_reason: str | None = None
        self.text_choice: TextChoice | None = None


class Collector:
    """Feed it every event of the call; `body()` is the answer."""

    def __init__(self) -> None:
        self._head: Chunk | TextChunk | None = None
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._fingerprint: str | None = None

    def feed(self, event: Event) -> None:
        """Add an event."""
        if isinstance(event, TextEvent):
            choice = self._choice(event.template.index)
            (choice.reasoning if event.template.channel == "reasoning" else choice.content).append(event.plain())
            return
        chunk = event.chunk
        self._head = self._head or chunk
        self._usage = chunk.usage or self._usage
        self._fingerprint = chunk.system_fingerprint or self._fingerprint  # vLLM: on the last chunk of a stream only
        for part in chunk.choices:
            if isinstance(part, TextChoice):
                self._add_text(self._choice(part.index), part)
            else:
                self._add(self._choice(part.index), part)

    def body(self) -> bytes | None:
        """The JSON of the answer; None if nothing came."""
        head = self._head
        if head is None:
            return None
        chat = isinstance(head, Chunk)
        choices = [_message(index, one) if chat else _text(index, one) for index, one in sorted(self._choices.items())]
        kind = "chat.completion" if chat else "text_completion"
        answer = Answer(
            head.id,
            kind,
            head.created,
            head.model,
            choices,  # pyright: ignore[reportArgumentType]
            self._usage,
            self._fingerprint,
        )
        return ENCODER.encode(answer)

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        return choice

    def _add(self, choice: _Choice, part: Choice) -> None:
        delta = part.delta
        if delta.content:
            choice.content.append(delta.content)
        if delta.reasoning:
            choice.reasoning.append(delta.reasoning)
        if delta.refusal:
            choice.refusal.append(delta.refusal)
        for call in delta.tool_calls or ():
            _add_call(choice.tools, call)
        if part.logprobs:
            choice.logprobs = choice.logprobs or ChatLogprobs([], None)
            choice.logprobs.content = (choice.logprobs.content or []) + (part.logprobs.content or [])
        if isinstance(part.finish_reason, str):
            choice.finish_reason = part.finish_reason

    def _add_text(self, choice: _Choice, part: TextChoice) -> None:
        choice.content.append(part.text)
        choice.finish_reason = part.finish_reason or choice.finish_reason
        if part.logprobs:
            choice.text_choice = part


def _add_call(calls: dict[int, dict[str, Any]], delta: ToolCallDelta) -> None:
    # A unary answer's calls carry no index: each is whole, and they come in order.
    index = delta.index if isinstance(delta.index, int) else len(calls)
    call = calls.setdefault(index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call["id"] = delta.id or call["id"]
    if delta.function:
        call["function"]["name"] += delta.function.name or ""
        call["function"]["arguments"] += delta.function.arguments or ""


def _message(index: int, choice: _Choice) -> MessageChoice:
    content = "".join(choice.content)
    calls = [choice.tools[key] for key in sorted(choice.tools)] or None
    thought = "".join(choice.reasoning) or None
    message = Message(
        "assistant",
        content if content or calls is None else None,
        "".join(choice.refusal) or None,
        thought,
        thought,
        calls,
    )
    return MessageChoice(index, message, choice.logprobs, choice.finish_reason)


def _text(index: int, choice: _Choice) -> TextChoice:
    logprobs = choice.text_choice.logprobs if choice.text_choice else None
    return TextChoice(index, "".join(choice.content), logprobs, choice.finish_reason)
