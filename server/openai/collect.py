"""From the events of a call to the one JSON body of an answer that is not streamed."""

from __future__ import annotations

from typing import Any, Protocol

from server.openai.answer_body import Answer, Message, MessageChoice
from server.openai.chunks import (
    ENCODER,
    AnyChunk,
    ChatLogprobs,
    Choice,
    Chunk,
    ModeratedChunk,
    TextChoice,
    ToolCallDelta,
    Usage,
)
from server.openai.events import ChunkEvent, Event, TextEvent


class _Choice:
    """What has come of one choice."""

    __slots__ = ("content", "finish_reason", "logprobs", "reasoning", "refusal", "text_choice", "tools")

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tools: dict[int, dict[str, Any]] = {}
        self.logprobs: ChatLogprobs | None = None
        self.finish_reason = "stop"  # where the engine tells none: vLLM's own word for that
        self.text_choice: TextChoice | None = None


class Collecting(Protocol):
    """Makes one body of events."""

    def feed(self, event: Event) -> None: ...

    def body(self) -> bytes | None:
        """None if nothing came."""
        ...


class Collector:
    """Feed it every event of the call; `body()` is the answer."""

    def __init__(self) -> None:
        self._head: AnyChunk | None = None  # the first chunk
        self._alone = True  # ... and all that came: so it is taken as it is
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._fingerprint: str | None = None
        self._moderation: dict[str, Any] | None = None

    def feed(self, event: Event) -> None:
        """Add an event."""
        if self._head is None and isinstance(event, ChunkEvent):
            self._head = event.chunk
            return
        self._take_apart()
        if isinstance(event, TextEvent):
            choice = self._choice(event.template.index)
            (choice.reasoning if event.template.channel == "reasoning" else choice.content).append(event.plain())
        else:
            self._add_chunk(event.chunk)

    def body(self) -> bytes | None:
        """The JSON of the answer; None if nothing came."""
        head = self._head
        if head is None:
            return None
        choices: list[MessageChoice] | list[TextChoice]
        if not isinstance(head, Chunk):
            self._take_apart()
            kind, choices = "text_completion", [_text(index, one) for index, one in sorted(self._choices.items())]
        elif self._alone and all(choice.delta.tool_calls is None for choice in head.choices):
            self._usage, self._fingerprint = head.usage or None, head.system_fingerprint
            kind, choices = "chat.completion", [_as_message(choice) for choice in head.choices]
        else:
            self._take_apart()
            kind, choices = "chat.completion", [_message(index, one) for index, one in sorted(self._choices.items())]
        facts = (self._usage, self._fingerprint, self._moderation)
        answer = Answer(head.id, kind, head.created, head.model, choices, *facts)  # pyright: ignore[reportArgumentType]
        return ENCODER.encode(answer)

    def _take_apart(self) -> None:
        """More came than one chunk, or it is not simple: collect by choice."""
        if self._alone:
            self._alone = False
            if self._head is not None:
                self._add_chunk(self._head)

    def _add_chunk(self, chunk: AnyChunk) -> None:
        self._usage = chunk.usage or self._usage
        if isinstance(chunk, ModeratedChunk):
            self._moderation = chunk.moderation
        self._fingerprint = chunk.system_fingerprint or self._fingerprint  # vLLM: on the last chunk of a stream only
        for part in chunk.choices:
            if isinstance(part, TextChoice):
                self._add_text(self._choice(part.index), part)
            else:
                self._add(self._choice(part.index), part)

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


def _as_message(choice: Choice) -> MessageChoice:
    """A choice of a whole answer."""
    delta = choice.delta
    message = Message("assistant", delta.content or "", delta.refusal or None, delta.reasoning, delta.reasoning_content)
    finish = choice.finish_reason if isinstance(choice.finish_reason, str) else "stop"
    return MessageChoice(choice.index, message, choice.logprobs or None, finish)


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
