"""Streams for the tests of what reads them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from server.openai.reader import View

TEXT = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\/<|>\n\t\x00\ue000\u2028你好🎉\x7f{}[],:ab ')),
    max_size=12,
)
"""With what may upset a reader of frames: quotes, backslashes, control characters, the reader's own mark."""

SHOWN = View(model="m", reasoning=True, chat=True)
HIDDEN = View(model="m", reasoning=False, chat=True)
RAW = View(model="m", reasoning=True, chat=False)
COUNTED = View(model="m", reasoning=True, chat=True, usage=True)


def payload(delta: dict[str, Any], index: int = 0, finish: str | None = None, *, ascii_only: bool = False) -> bytes:
    """A chunk as vLLM writes it."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish, "token_ids": None}
    tree = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": [choice]}
    return json.dumps(tree, ensure_ascii=ascii_only, separators=(",", ":")).encode()


def text_payload(text: str) -> bytes:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": None, "stop_reason": None}
    return json.dumps(
        {"id": "c", "object": "text_completion", "created": 1, "model": "x", "choices": [choice]}
    ).encode()


def framed(payloads: list[bytes]) -> bytes:
    return b"".join(b"data: " + one + b"\n\n" for one in payloads)
