"""Control tokens that vLLM's harmony parser lets into the content, as when the output ends in a tool call's header.

Such text looks like `<|start|>assistant<|channel|>commentary to=functions.f`. It is cut from there on. A user who asks
about the format in prose gets his answer: only a control token in the place where the format puts it counts as leaked.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Protocol

from server.answers.edit import EditStage, on_content
from server.answers.stage import Stage
from server.call import Call
from server.openai.chat_request import ChatRequest

_LEAK = re.compile(
    r"(?:<\|(?:end|return|call)\|>)?"
    r"(?:<\|start\|>assistant|<\|channel\|>(?:analysis|commentary|final)|<\|message\|>)|<\|(?:end|return|call)\|>\Z"
)
_OPENINGS = ("<|start|>assistant", "<|channel|>commentary", "<|channel|>analysis", "<|channel|>final", "<|message|>")
_ENDINGS = ("<|end|>", "<|return|>", "<|call|>")
_MARKERS = (*_OPENINGS, *(ending + opening for ending in _ENDINGS for opening in _OPENINGS))
_LONGEST = max(map(len, _MARKERS))


class Count(Protocol):
    value: float


class LeakCutter:
    """Swallows everything from the first leaked control token; holds back what could become one."""

    finish_reason = "stop"

    def __init__(self, leaks: Count) -> None:
        self._leaks = leaks
        self._held = ""
        self._cut = False
        self.ended = False

    def indifferent(self, escaped: bytes) -> bool:
        return not self._held and not self._cut and b"<" not in escaped

    def feed(self, text: str) -> str:
        if self._cut:
            return ""
        text = self._held + text
        self._held = ""
        if "<" not in text:
            return text
        leak = _LEAK.search(text)
        if leak and not leak.group().endswith(_ENDINGS):
            return self._cut_at(text, leak.start())
        keep = _could_become(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        held, self._held = self._held, ""
        # An answer that ends within a control token has leaked the beginning of it.
        if held.startswith((*_ENDINGS, "<|start|>", "<|channel|>")):
            return self._cut_at(held, 0)
        return held

    def _cut_at(self, text: str, position: int) -> str:
        self._cut = True
        self._leaks.value += 1
        return text[:position]


def _could_become(text: str) -> int:
    """Length of the longest end of `text` that is the beginning of a leak, or a whole ending."""
    start = text.find("<", max(0, len(text) - _LONGEST))
    while start >= 0:
        tail = text[start:]
        if any(marker.startswith(tail) for marker in _MARKERS):
            return len(tail)
        start = text.find("<", start + 1)
    return 0


def cut_leaks(call: Call, leaks: Count) -> Stage | None:
    """The stage, for chat completions: raw completions may well write control tokens."""
    if not isinstance(call.body, ChatRequest):
        return None
    return EditStage(call, on_content(partial(LeakCutter, leaks)), call.body.n or 1, clean=_clean)


def _clean(text: str) -> bool:
    return "<" not in text
