"""From an engine's bytes to events, without IO. One reader per call; it hides the engine's own business."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from server.openai.chunks import CHUNK, COMPLETION, TEXT_CHUNK, AnyChunk, TextChoice, chunk_of
from server.openai.events import Batch, ChunkEvent, Template, TextEvent, learn, text_field
from server.openai.sse import SseDecoder

FINISH_REASONS = frozenset((None, "stop", "length", "tool_calls", "content_filter", "function_call"))
"""OpenAI's; null while there is more to come."""

MAX_TEMPLATES = 8  # channels x choices learned per stream; the rest goes the slow way


class EngineAnswerError(Exception):
    """The engine's answer is an error or no answer at all. `payload` is what it said, to be translated."""

    def __init__(self, reason: str, payload: bytes = b"") -> None:
        super().__init__(reason)
        self.payload = payload


@dataclass(frozen=True, slots=True)
class View:
    """How a client sees an answer: the model's public name, and whether it gets the chain of thought.

    With `usage`, which it asked for at the end of a stream, all chunks before have a null there, as OpenAI's do.
    """

    model: str
    reasoning: bool
    chat: bool
    usage: bool = False

    def shape(self, chunk: AnyChunk) -> None:
        """Make `chunk` what goes out, in place."""
        chunk.model = self.model
        if chunk.system_fingerprint is not None:
            chunk.system_fingerprint = _fingerprint(chunk.system_fingerprint)
        chunk.usage = chunk.usage or (None if self.usage else msgspec.UNSET)
        for choice in chunk.choices:
            # vLLM has `abort` and `repetition` besides. Neither is an end that the model came to: what it said is cut
            # short, which clients know as `length`; `stop` would have them take half an answer, or call, for a whole.
            if choice.finish_reason not in FINISH_REASONS:
                choice.finish_reason = "length"
            if isinstance(choice, TextChoice):
                continue
            delta = choice.delta
            thought = delta.reasoning or delta.reasoning_content
            # Two names for one thing: vLLM and newer clients read the first, older ones the second.
            delta.reasoning = delta.reasoning_content = thought if self.reasoning and thought else None
            delta.role = "assistant" if delta.role else None
            delta.tool_calls = delta.tool_calls or None
            if delta.tool_calls:
                delta.content = delta.content or msgspec.UNSET


@lru_cache(maxsize=64)
def _fingerprint(of_engine: str) -> str:
    """Changes when the engine does, which is what it is for, and does not name it."""
    return "fp_" + hashlib.sha256(of_engine.encode()).hexdigest()[:10]


class StreamReader:
    """Feed it the body of a streamed answer. `done` once the engine said [DONE]."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._frames = SseDecoder()
        self._templates: list[Template] = []
        self._decode: Callable[[bytes], AnyChunk] = CHUNK.decode if view.chat else TEXT_CHUNK.decode
        self.done = False
        self.failure: EngineAnswerError | None = None
        """What followed the events that `feed` returned last: they are still good."""

    def feed(self, data: bytes) -> Batch:
        """Events completed by `data`. Raises `EngineAnswerError`."""
        if self._frames.between_events:
            for template in self._templates:
                text = template.text_of_only(data)
                if text is not None:
                    return [TextEvent(template, text)]  # what nearly every read brings
        try:
            payloads = self._frames.feed(data)
        except ValueError as error:
            raise EngineAnswerError(str(error)) from None
        events: Batch = []
        for payload in payloads:
            for template in self._templates:
                text = template.text_of(payload)
                if text is not None:
                    events.append(TextEvent(template, text))
                    break
            else:
                try:
                    self._slow(payload, events)
                except EngineAnswerError as error:
                    if not events:
                        raise
                    self.failure = error
                    break
        return events

    def end(self) -> None:
        """The body ends without [DONE]: too early, whatever came."""

    def _slow(self, payload: bytes, events: Batch) -> None:
        if payload == b"[DONE]":
            self.done = True
            return
        try:
            chunk = self._decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise EngineAnswerError("an event that is no chunk", payload) from None
        field = text_field(chunk)
        self._view.shape(chunk)
        event = ChunkEvent(chunk)
        hidden = field == "reasoning" and not self._view.reasoning
        if field and len(self._templates) < MAX_TEMPLATES:
            self._learn(payload, event, field, hidden=hidden)
        if not hidden:
            events.append(event)

    def _learn(self, payload: bytes, event: ChunkEvent, field: str, *, hidden: bool) -> None:
        template = None if hidden else learn(payload, event, field)
        if template is not None:
            self._templates.append(template)


def read_whole(view: View, body: bytes) -> Batch:
    """The events of a unary answer: one. Raises `EngineAnswerError`."""
    try:
        chunk = chunk_of(COMPLETION.decode(body)) if view.chat else TEXT_CHUNK.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EngineAnswerError("a body that is no completion", body) from None
    view.shape(chunk)
    return [ChunkEvent(chunk)]
