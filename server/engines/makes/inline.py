"""The chain of thought where a make leaves it in the content. Pure.

Two forms are known. `<think>...</think>` before the answer; and gpt-oss's format, whole or, as `transformers serve`
writes it, without its control tokens: `analysisThe user asks ...assistantfinalParis.`, and for a call
`assistantcommentary to=functions.NAME json{...}`. Both are looked for at the very beginning of an answer only, and the
names of channels count only where no space or small letter follows, so that an answer which begins with the word
`analysis` stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from server.engines.makes.make import Inline

Channel = Literal["content", "reasoning", "name", "arguments"]

_CONTROL = re.compile(r"<\|(?:start|end|message|channel|constrain|return|call)\|>")
_PART_OF_CONTROL = re.compile(r"<(?:\|[a-z]{0,9}\|?)?\Z")
_OPENS = re.compile(r"(analysis|final)(?=[^\sa-z])")
_NEXT = re.compile(
    r"assistant(?:final|analysis"
    r"|commentary to=functions\.(?P<after>[\w-]{1,64}?) ?(?:json|code)?(?=\{)"
    r"| to=functions\.(?P<before>[\w-]{1,64}?) ?commentary ?(?:json|code)?(?=\{))"
)
_LONGEST_HEADER = 128  # characters; what is longer and no header yet never becomes one
_THINK, _THOUGHT = "<think>", "</think>"
_MARKERS = ("assistantfinal", "assistantanalysis", "assistantcommentary", "assistant to=")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of a channel; `name` begins a call, `arguments` are the last call's."""

    channel: Channel
    text: str


class Splitter:
    """One for each choice. Feed it the content; what it gives back is all that is sure by then."""

    def __init__(self, forms: Collection[Inline]) -> None:
        self._think = "think" in forms
        self._harmony = "harmony" in forms
        self._state: Literal["start", "think", "harmony", "plain"] = "start" if forms else "plain"
        self._channel: Channel = "content"
        self._held = ""
        self._fresh = False  # a line break may follow that belongs to no text

    def feed(self, text: str) -> list[Piece]:
        return self._go(text, last=False)

    def finish(self) -> list[Piece]:
        """What was held."""
        return self._go("", last=True)

    def _go(self, text: str, *, last: bool) -> list[Piece]:
        if self._state == "plain" and not self._fresh:
            return [Piece("content", text)] if text else []
        text, self._held = self._held + text, ""
        if self._state == "start":
            rest = self._start(text, last=last)
            if rest is None:
                self._held = text
                return []
            text = rest
        if self._state == "think":
            return self._thinking(text, last=last)
        if self._state == "harmony":
            return self._channels(text, last=last)
        return self._plain(text)

    def _start(self, text: str, *, last: bool) -> str | None:
        """Decide the form. The text that is left, or None while it cannot be told."""
        beginning = text.lstrip()
        if self._think:
            if beginning.startswith(_THINK):
                self._state, self._channel = "think", "reasoning"
                return beginning[len(_THINK) :].lstrip()
            if not last and _THINK.startswith(beginning):
                return None
        if self._harmony:
            bare = _CONTROL.sub("", beginning)
            if bare != beginning or _OPENS.match(bare) or _NEXT.match(bare):
                return self._open(bare, beginning, last=last)
            if not last and _could_open(bare):
                return None
        self._state = "plain"
        return text

    def _open(self, bare: str, text: str, *, last: bool) -> str | None:
        opens = _OPENS.match(bare)
        if opens is None and _NEXT.match(bare) is None and not last and (_could_open(bare) or _could_follow(bare)):
            return None
        self._state = "harmony"
        self._channel = "reasoning" if opens is not None and opens[1] == "analysis" else "content"
        return bare[opens.end() :] if opens is not None else bare

    def _thinking(self, text: str, *, last: bool) -> list[Piece]:
        thought, found, rest = text.partition(_THOUGHT)
        if found:
            self._state, self._fresh = "plain", True
            return [*_pieces("reasoning", thought.rstrip("\n")), *self._plain(rest)]
        keep = 0 if last else _overlap(text, (_THOUGHT,))
        self._held = text[len(text) - keep :]
        return _pieces("reasoning", text[: len(text) - keep])

    def _plain(self, text: str) -> list[Piece]:
        if self._fresh:
            text = text.lstrip()
            self._fresh = not text
        return _pieces("content", text)

    def _channels(self, text: str, *, last: bool) -> list[Piece]:
        pieces: list[Piece] = []
        text = _CONTROL.sub("", text)
        while (header := _NEXT.search(text)) is not None:
            pieces += _pieces(self._channel, text[: header.start()])
            text = text[header.end() :]
            name = header["after"] or header["before"]
            if name:
                pieces.append(Piece("name", name))
            self._channel = "arguments" if name else "content" if header[0].endswith("final") else "reasoning"
        keep = 0 if last else _holds(text)
        self._held = text[len(text) - keep :]
        return [*pieces, *_pieces(self._channel, text[: len(text) - keep])]


def _pieces(channel: Channel, text: str) -> list[Piece]:
    return [Piece(channel, text)] if text else []


def _could_open(text: str) -> bool:
    """The next letters may make a channel's name of it."""
    return any(name.startswith(text) for name in ("analysis", "final", *_MARKERS)) or bool(
        _PART_OF_CONTROL.fullmatch(text)
    )


def _could_follow(text: str) -> bool:
    return text.startswith(("assistantcommentary to=", "assistant to=")) and len(text) < _LONGEST_HEADER


def _holds(text: str) -> int:
    """Length of the end of `text` that may be the beginning of a header or of a control token."""
    partial = _PART_OF_CONTROL.search(text)
    if partial is not None:
        return len(text) - partial.start()
    for marker in ("assistantcommentary", "assistant to="):
        at = text.rfind(marker)
        if at >= 0 and len(text) - at < _LONGEST_HEADER and "{" not in text[at:]:
            return len(text) - at
    return _overlap(text, _MARKERS)


def _overlap(text: str, markers: Collection[str]) -> int:
    """Length of the longest end of `text` that begins one of `markers`."""
    longest = max(map(len, markers)) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(marker.startswith(text[-size:]) for marker in markers):
            return size
    return 0
