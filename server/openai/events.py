"""Events of a streamed answer: cheap where nothing is to be changed, decoded where something is.

An engine's stream is a thousand times the same JSON with another few letters in it. `Template` learns that frame
once per stream, and a `TextEvent` is then a frame and the letters, still escaped as they came: no parsing, no
encoding. Whatever does not fit a learned frame is a `ChunkEvent`, decoded in full.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from server.openai.chunks import ENCODER, AnyChunk, Choice, TextChoice

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_MARK = "\ue000"  # a private-use character: stands where the text of a frame goes
_ESCAPED_MARK = ENCODER.encode(_MARK)[1:-1]


@dataclass(frozen=True, slots=True)
class Template:
    """The frame of a text event. `before`/`after` enclose the escaped text as the engine sends it."""

    channel: str  # content | reasoning
    index: int
    before: bytes
    after: bytes
    out: tuple[bytes, ...]  # pieces of the outgoing frame between which the text stands
    line_before: bytes  # the same with the framing of server-sent events around
    line_after: bytes

    def text_of(self, payload: bytes) -> bytes | None:
        """The escaped text of an event that fits this frame, else None."""
        if not (payload.startswith(self.before) and payload.endswith(self.after)):
            return None
        text = payload[len(self.before) : -len(self.after)]
        # A quote that ends the string early would mean another shape; an escaped one is rare: the slow way knows both.
        return None if b'"' in text else text

    def text_of_only(self, data: bytes) -> bytes | None:
        """The same for what a read brought, if that is one whole event: a second one would show by its quotes."""
        if not (data.startswith(self.line_before) and data.endswith(self.line_after)):
            return None
        text = data[len(self.line_before) : -len(self.line_after)]
        return None if b'"' in text else text


class TextEvent:
    """Some text on one channel of one choice; everything else is in the template."""

    __slots__ = ("template", "text")

    def __init__(self, template: Template, text: bytes) -> None:
        self.template = template
        self.text = text

    def wire(self) -> bytes:
        return self.text.join(self.template.out)

    def plain(self) -> str:
        """The text, unescaped."""
        return msgspec.json.decode(b'"' + self.text + b'"', type=str)


class ChunkEvent:
    """A decoded event. Stages may change its chunk in place."""

    __slots__ = ("chunk",)

    def __init__(self, chunk: AnyChunk) -> None:
        self.chunk = chunk

    def wire(self) -> bytes:
        return b"data: " + ENCODER.encode(self.chunk) + b"\n\n"


Event = TextEvent | ChunkEvent
Batch = list[Event]
"""What one read from the engine brought."""


def learn(payload: bytes, event: ChunkEvent, field: str) -> Template | None:
    """The template of an event whose only news is the text of one `field` of its one choice.

    `event` is what goes out for `payload`. None where the engine's bytes do not show the text in the simple way.
    """
    choice = event.chunk.choices[0]
    text = _text(choice, field)
    before, found, rest = payload.partition(b'"' + field.encode() + b'":"')
    escaped, quote, after = rest.partition(b'"')
    if not found or not quote or not text or ENCODER.encode(text)[1:-1] != escaped:
        return None
    _set_text(choice, field, _MARK)
    out = tuple(event.wire().split(_ESCAPED_MARK))
    _set_text(choice, field, text)
    channel = "reasoning" if field == "reasoning" else "content"
    start, end = before + found, quote + after
    return Template(channel, choice.index, start, end, out, b"data: " + start, end + b"\n\n")


def text_field(chunk: AnyChunk) -> str | None:
    """Which field's text is the only news of this chunk: content, reasoning, text; None if there is other news."""
    if len(chunk.choices) != 1 or chunk.usage:
        return None
    choice = chunk.choices[0]
    if choice.finish_reason is not None or choice.logprobs:
        return None
    if isinstance(choice, TextChoice):
        return "text"
    delta = choice.delta
    if delta.tool_calls or delta.role or delta.refusal:
        return None
    if delta.reasoning:
        return None if delta.content else "reasoning"
    return "content" if delta.content else None


def _text(choice: Choice | TextChoice, field: str) -> str:
    if isinstance(choice, TextChoice):
        return choice.text
    return (choice.delta.reasoning if field == "reasoning" else choice.delta.content) or ""


def _set_text(choice: Choice | TextChoice, field: str, text: str) -> None:
    if isinstance(choice, TextChoice):
        choice.text = text
    elif field == "content":
        choice.delta.content = text
    else:
        choice.delta.reasoning = choice.delta.reasoning_content = text
