"""Readers of chat completions: they time an answer, count its chunks and tokens, and say when it is not whole."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.client import Fault


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Text(msgspec.Struct):
    """A message or a delta."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    message: _Text | None = None
    delta: _Text | None = None
    text: str | None = None  # of /v1/completions
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode


def _has_text(text: _Text | None) -> bool:
    return bool(text and (text.content or text.reasoning or text.reasoning_content))


class Whole:
    """An unstreamed answer; `tokens` is what it must hold, None where that is not known."""

    def __init__(self, tokens: int | None = None) -> None:
        self._expected = tokens
        self._parts: list[bytes] = []
        self.prompt_tokens = 0
        self.tokens = 0

    def feed(self, data: bytes, now: float) -> None:
        self._parts.append(data)
        self.ended = now

    def finish(self) -> None:
        try:
            body = _decode(b"".join(self._parts))
        except msgspec.DecodeError:
            raise Fault("malformed answer") from None
        if not body.choices or not _has_text(body.choices[0].message) or body.usage is None:
            raise Fault("answer without text or usage")
        self.prompt_tokens, self.tokens = body.usage.prompt_tokens, body.usage.completion_tokens
        if self._expected is not None and self.tokens != self._expected:
            raise Fault(f"answer of {self.tokens} tokens, not {self._expected}")


class Stream:
    """A streamed answer.

    `times` holds the time of each chunk with text in it (chunks read at once share one); `chunks` is how many there
    must be, None where that is not known. Comments and chunks without text are passed over.
    """

    def __init__(self, chunks: int | None = None) -> None:
        self._expected = chunks
        self._rest = b""
        self._done = False
        self._finished = False
        self.times: list[float] = []
        self.ended = 0.0
        self.prompt_tokens = 0
        self.tokens = 0

    def feed(self, data: bytes, now: float) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            self._event(event, now)
        self.ended = now

    def _event(self, event: bytes, now: float) -> None:
        if not event.startswith(b"data:"):
            if event.startswith(b":"):
                return
            raise Fault("malformed event")
        data = event[5:].strip()
        if data == b"[DONE]":
            self._done = True
            return
        try:
            body = _decode(data)
        except msgspec.DecodeError:
            raise Fault("malformed chunk") from None
        if body.error is not None:
            raise Fault(f"error event: {msgspec.json.encode(body.error)[:160].decode('utf-8', 'replace')}")
        if body.usage is not None:
            self.prompt_tokens, self.tokens = body.usage.prompt_tokens, body.usage.completion_tokens
        for choice in body.choices or ():
            if choice.text or _has_text(choice.delta):
                self.times.append(now)
            self._finished = self._finished or choice.finish_reason is not None

    def finish(self) -> None:
        if not self._done:
            raise Fault("stream without [DONE]")
        if not self._finished:
            raise Fault("stream without finish_reason")
        if self._rest.strip():
            raise Fault("stream ends within an event")
        if self._expected is not None and len(self.times) != self._expected:
            raise Fault(f"stream of {len(self.times)} chunks, not {self._expected}")

    @property
    def gaps(self) -> list[float]:
        """Seconds between one chunk with text and the next."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]
