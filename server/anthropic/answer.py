"""Answers in Anthropic's shape, from the events of a chat completion: as one message, or as a stream of events. Pure.

A message is a list of blocks, one after the other. The channels of an answer become blocks as they come: reasoning a
`thinking` block (left out where the client did not ask for it), content a `text` block, each call a `tool_use` block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from server.anthropic.signature import Signature, Signer
from server.anthropic.translate import TranslatedChat
from server.call import Call, Tokens
from server.openai.chunks import Chunk, Delta, ToolCallDelta
from server.openai.events import Batch, Event, TextEvent

STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
Kind = Literal["thinking", "text", "tool_use"]
_DELTAS: Mapping[Kind, tuple[str, str]] = {
    "thinking": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
}
_BEFORE = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":"'
_encode = msgspec.json.encode
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def usage_of(tokens: Tokens) -> dict[str, int]:
    """What was read from a cache is counted apart, and not among the input tokens."""
    return {
        "input_tokens": tokens.prompt - tokens.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.completion,
    }


def stop_reason(finish: str | None, stop_text: str | None) -> tuple[str, str | None]:
    """And the stop sequence, if `stop_text` is the one that ended the answer."""
    if stop_text is not None and finish in (None, "stop"):
        return "stop_sequence", stop_text
    return STOP_REASONS.get(finish or "stop", "end_turn"), None


def message_of(
    call: Call, content: list[dict[str, Any]], reason: str | None, stop: str | None, tokens: Tokens
) -> dict[str, Any]:
    return {
        "id": f"msg_{call.id.removeprefix('req_')}",
        "type": "message",
        "role": "assistant",
        "model": call.model.id,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": stop,
        "usage": usage_of(tokens),
    }


def frame(event: str, fields: Mapping[str, Any]) -> bytes:
    """A server-sent event; Anthropic's has its name in the data too."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), _encode({"type": event, **fields}))


class _Blocks:
    """What both forms of an answer make of events: calls `open`, `text` and `close` of blocks, in order."""

    def __init__(self, call: Call, signer: Signer) -> None:
        self.finish: str | None = None
        self._call = call
        self._signer = signer
        self._shows_thinking = isinstance(call.body, TranslatedChat) and call.body.thinking
        self._kind: Kind | None = None
        self._number: int | None = None  # of the tool's call whose block is open
        self._signature: Signature | None = None

    def feed_event(self, event: Event) -> None:
        if isinstance(event, TextEvent):
            kind: Kind = "thinking" if event.template.channel == "reasoning" else "text"
            self._escaped(kind, event)
            return
        if not isinstance(event.chunk, Chunk):
            return
        for choice in event.chunk.choices:
            self._delta(choice.delta)
            if isinstance(choice.finish_reason, str):
                self.finish = choice.finish_reason

    def close_last(self) -> None:
        if self._kind is not None:
            self._close(self._signature.text() if self._signature is not None else None)
        self._kind = self._number = self._signature = None

    def _escaped(self, kind: Kind, event: TextEvent) -> None:
        if kind == "thinking" and not self._shows_thinking:
            return
        self._begin(kind)
        if self._signature is not None:
            self._signature.add(event.plain())
        self._add_escaped(kind, event)

    def _delta(self, delta: Delta) -> None:
        if delta.reasoning and self._shows_thinking:
            self._plain("thinking", delta.reasoning)
        for said in (delta.content, delta.refusal):
            if said:
                self._plain("text", said)
        for call in delta.tool_calls or ():
            self._tool(call)

    def _plain(self, kind: Kind, text: str) -> None:
        self._begin(kind)
        if self._signature is not None:
            self._signature.add(text)
        self._add(kind, text)

    def _tool(self, call: ToolCallDelta) -> None:
        function = call.function
        number = call.index if isinstance(call.index, int) else None
        if call.id or self._kind != "tool_use" or (number is not None and number != self._number):
            self.close_last()
            self._kind, self._number = "tool_use", number
            self._open({"type": "tool_use", "id": call.id, "name": function.name if function else "", "input": {}})
        if function is not None and function.arguments:
            self._add("tool_use", function.arguments)

    def _begin(self, kind: Kind) -> None:
        if self._kind == kind:
            return
        self.close_last()
        self._kind = kind
        if kind == "thinking":
            self._signature = self._signer.begin(self._call.key.project.id)
            self._open({"type": "thinking", "thinking": "", "signature": ""})
        else:
            self._open({"type": "text", "text": ""})

    # What becomes of it

    def _open(self, block: dict[str, Any]) -> None:
        raise NotImplementedError

    def _add(self, kind: Kind, text: str) -> None:
        raise NotImplementedError

    def _add_escaped(self, kind: Kind, event: TextEvent) -> None:
        self._add(kind, event.plain())

    def _close(self, signature: str | None) -> None:
        raise NotImplementedError


class MessageCollector(_Blocks):
    """Feed it every event; `body` is the answer."""

    def __init__(self, call: Call, signer: Signer) -> None:
        super().__init__(call, signer)
        self._content: list[dict[str, Any]] = []
        self._pieces: list[str] = []
        self._came = False

    def feed(self, event: Event) -> None:
        self._came = True
        self.feed_event(event)

    def body(self) -> bytes | None:
        """None if nothing came."""
        if not self._came:
            return None
        self.close_last()
        reason, stop = stop_reason(self.finish, self._call.stop_text)
        return _encode(message_of(self._call, self._content, reason, stop, self._call.used()))

    def _open(self, block: dict[str, Any]) -> None:
        self._content.append(block)

    def _add(self, kind: Kind, text: str) -> None:
        self._pieces.append(text)

    def _close(self, signature: str | None) -> None:
        text, self._pieces = "".join(self._pieces), []
        block = self._content[-1]
        if block["type"] == "tool_use":
            block["input"] = _object(text)
        else:
            block[block["type"]] = text
        if signature is not None:
            block["signature"] = signature


class MessageStream(_Blocks):
    """Gives the bytes of the stream for each batch."""

    def __init__(self, call: Call, signer: Signer) -> None:
        super().__init__(call, signer)
        self._out: list[bytes] = []
        self._index = -1
        self._frames: dict[Kind, tuple[bytes, bytes]] = {}  # around the text of a delta, in the open block
        self._begun = False

    def feed(self, batch: Batch) -> bytes:
        if not self._begun:
            self._begun = True
            self._out.append(self._start())
        for event in batch:
            self.feed_event(event)
        return self._taken()

    def end(self) -> bytes:
        self.close_last()
        reason, stop = stop_reason(self.finish, self._call.stop_text)
        delta = {"stop_reason": reason, "stop_sequence": stop}
        self._out.append(frame("message_delta", {"delta": delta, "usage": usage_of(self._call.used())}))
        self._out.append(frame("message_stop", {}))
        return self._taken()

    def _start(self) -> bytes:
        """The prompt's tokens, if they were counted before, else 0: the engine tells at the end."""
        begun = message_of(self._call, [], None, None, Tokens(self._call.counted or 0))
        return frame("message_start", {"message": begun})

    def _taken(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out

    def _open(self, block: dict[str, Any]) -> None:
        self._index += 1
        self._frames.clear()
        self._out.append(frame("content_block_start", {"index": self._index, "content_block": block}))

    def _add(self, kind: Kind, text: str) -> None:
        self._say(kind, _encode(text)[1:-1])

    def _add_escaped(self, kind: Kind, event: TextEvent) -> None:
        self._say(kind, event.text)

    def _say(self, kind: Kind, escaped: bytes) -> None:
        """Only the letters change from delta to delta: no JSON is made for each."""
        around = self._frames.get(kind)
        if around is None:
            name, field = _DELTAS[kind]
            around = self._frames[kind] = (_BEFORE % (self._index, name.encode(), field.encode()), b'"}}\n\n')
        self._out += (around[0], escaped, around[1])

    def _close(self, signature: str | None) -> None:
        if signature is not None:
            delta = {"type": "signature_delta", "signature": signature}
            self._out.append(frame("content_block_delta", {"index": self._index, "delta": delta}))
        self._out.append(frame("content_block_stop", {"index": self._index}))


def _object(text: str) -> Any:
    """A call's arguments, which a model may have written wrong: then they stand under one name, and nothing is lost."""
    try:
        return _OBJECT.decode(text or "{}")
    except msgspec.DecodeError:
        return {"invalid_arguments": text}
