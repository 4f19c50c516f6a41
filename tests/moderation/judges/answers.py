"""Answers of engines, in the shapes of vLLM 0.32, whole and spoilt."""

from __future__ import annotations

import json
from typing import Any


def chat(content: object, finish: object = "stop", *, message: dict[str, Any] | None = None, choices: int = 1) -> bytes:
    """A chat completion. `message` replaces or adds keys of the message."""
    said = {"role": "assistant", "content": content, "refusal": None, "reasoning": None, "tool_calls": []}
    said |= message or {}
    one = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish, "stop_reason": None}
    tree = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [one] * choices, "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "prompt_token_ids": None, "kv_transfer_params": None,
    }  # fmt: skip
    return json.dumps(tree).encode()


def spoilt(content: str) -> dict[str, bytes]:
    """What is no complete answer, though it says `content`, which would be a verdict."""
    call = {"id": "1", "type": "function", "function": {"name": "verdict", "arguments": content}}
    good = chat(content)
    return {
        "nothing": b"",
        "not JSON": content.encode(),
        "cut": good[:-10],
        "twice": good + good,
        "not UTF-8": chat(content + "XX").replace(b"XX", b"\xff\xfe"),
        "a list": b"[" + good + b"]",
        "null": b"null",
        "nested without end": b"[" * 100_000,
        "nested in a key nobody reads": good[:-1] + b', "x": ' + b"[" * 100_000,
        "an error with 200": b'{"error": {"message": "boom", "code": 400}}',
        "no choice": chat(content, choices=0),
        "two choices": chat(content, choices=2),
        "cut by length": chat(content, "length"),
        "filtered": chat(content, "content_filter"),
        "a call": chat(content, "tool_calls"),
        "not finished": chat(content, None),
        "calls beside content": chat(content, message={"tool_calls": [call]}),
        "an old call": chat(content, message={"function_call": call["function"]}),
        "a refusal": chat(content, message={"refusal": "I cannot judge that."}),
        "somebody else": chat(content, message={"role": "user"}),
        "content null": chat(None),
        "content empty": chat(""),
        "content in parts": chat([{"type": "text", "text": content}]),
        "in the reasoning": chat(None, message={"reasoning": content}),
    }
