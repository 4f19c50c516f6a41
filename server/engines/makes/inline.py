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
    r"assistant(?:final|analysis|commentary(?=\S)"
    r"|commentary to=functions\.(?P<after>[\w-]{1,64}?) ?(?:json|code)?(?=\{)"
    r"| to=functions\.(?P<before>[\w-]{1,64}?) ?commentary ?(?:json|code)?(?=\{))"
)
_LONGEST_HEADER = 128  # characters; what is longer and no header yet never becomes one
_THINK, _THOUGHT = "<think>", "</think>"
_HEADERS = ("assistantcommentary", "assistant to=")
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
        self._fresh = False  # space may follow that belongs to no text

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
                self._state, self._fresh = "think", True
                return beginning[len(_THINK) :]
            if not last and _THINK.startswith(beginning):
                return None
        if self._harmony:
            whole = _CONTROL.match(beginning) is not None
            bare = _CONTROL.sub("", beginning)
            header = bare if bare.startswith("assistant") else f"assistant{bare}"  # as any later one
            if not last and _could_open(bare, header if whole else bare):
                return None
            if (whole or bare == header or _OPENS.match(bare)) and _NEXT.match(header):
                self._state = "harmony"
                return header
            if whole:
                self._state = "harmony"
                return bare
        self._state = "plain"
        return text

    def _thinking(self, text: str, *, last: bool) -> list[Piece]:
        thought, found, rest = self._begun(text).partition(_THOUGHT)
        if found:
            self._state, self._fresh = "plain", True
            return [*_pieces("reasoning", thought.rstrip()), *self._plain(rest)]
        sure = thought if last else thought[: len(thought) - _overlap(thought, (_THOUGHT,))].rstrip()
        self._held = thought[len(sure) :]
        return _pieces("reasoning", sure)

    def _plain(self, text: str) -> list[Piece]:
        return _pieces("content", self._begun(text))

    def _begun(self, text: str) -> str:
        """Without the space before the first letter."""
        if self._fresh:
            text = text.lstrip()
            self._fresh = not text
        return text

    def _channels(self, text: str, *, last: bool) -> list[Piece]:
        pieces: list[Piece] = []
        text = _CONTROL.sub("", text)
        while (header := _NEXT.search(text)) is not None:
            pieces += _pieces(self._channel, text[: header.start()])
            text = text[header.end() :]
            name = header["after"] or header["before"]
            if name:
                pieces.append(Piece("name", name))
            self._channel = "arguments" if name else "reasoning" if header[0].endswith("analysis") else "content"
        keep = 0 if last else _holds(text)
        self._held = text[len(text) - keep :]
        return [*pieces, *_pieces(self._channel, text[: len(text) - keep])]


def _pieces(channel: Channel, text: str) -> list[Piece]:
    return [Piece(channel, text)] if text else []


def _could_open(bare: str, header: str) -> bool:
    """The next letters may make a header of it."""
    bare, header = _PART_OF_CONTROL.sub("", bare), _PART_OF_CONTROL.sub("", header)
    names = ("analysis", "final", *_MARKERS)
    return any(name.startswith((bare, header)) for name in names) or _is_open_header(header)


def _is_open_header(text: str) -> bool:
    """It is a header for a call, as far as it goes."""
    return text.startswith(_HEADERS) and len(text) < _LONGEST_HEADER and _NEXT.match(text) is None


def _holds(text: str) -> int:
    """Length of the end of `text` that may be the beginning of a header or of a control token."""
    sure = _PART_OF_CONTROL.sub("", text)
    starts = [at for header in _HEADERS if (at := sure.rfind(header)) >= 0 and _is_open_header(sure[at:])]
    return len(text) - min(starts, default=len(sure) - _overlap(sure, _MARKERS))


def _overlap(text: str, markers: Collection[str]) -> int:
    """Length of the longest end of `text` that begins one of `markers`."""
    longest = max(map(len, markers)) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(marker.startswith(text[-size:]) for marker in markers):
            return size
    return 0
