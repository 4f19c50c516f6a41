"""Ollama. Read in openai/openai.go and middleware/openai.go at commit 634c4166 (2025-11, about 0.13) of ollama/ollama:
each chunk repeats the role, `content` is never left out, calls come whole, thoughts are `reasoning`.
"""

from __future__ import annotations

import json
from typing import Any

from tests.behaviour.makes import CREATED, Played, finish_of, pieces, sse, text_of, usage
from tests.behaviour.vllm import Reply

_SHARED = {
    *("model", "max_tokens", "seed", "temperature", "frequency_penalty", "presence_penalty", "top_p"),
    *("stop", "stream", "stream_options", "logprobs"),
}
FIELDS = _SHARED | {"messages", "response_format", "tools", "reasoning_effort", "top_logprobs"}


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    start = {"id": "chatcmpl-417", "object": kind, "created": CREATED}
    return start | {"model": body["model"], "system_fingerprint": "fp_ollama"}


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{index}abcdef", "index": 0, "type": "function", "function": {"name": name, "arguments": text}}
        for index, (name, text) in enumerate(reply.tool_calls)
    ]


def _chunk(body: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""} | delta, "finish_reason": finish}
    return _head(body, "chat.completion.chunk") | {"choices": [choice]}


def stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    events = [_chunk(body, {"reasoning": text}) for text in pieces(reply.reasoning)]
    events += [_chunk(body, {"content": text}) for text in pieces(reply.content)]
    events += [_chunk(body, {"tool_calls": [call]}) for call in _calls(reply)]
    events.append(_chunk(body, {}, finish_of(reply)))
    for at, one in enumerate(events):
        one["created"] += at // 4  # the time of each chunk
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(_head(body, "chat.completion.chunk") | {"choices": [], "usage": usage(reply)})
    return [*map(sse, events), b"data: [DONE]\n\n"]


def whole(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    content, reasoning = text_of(reply)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning"] = reasoning
    choice = {"index": 0, "message": message, "finish_reason": reply.finish}
    return _head(body, "chat.completion") | {"choices": [choice], "usage": usage(reply)}


def completion_stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    def event(text: str, finish: str | None = None) -> dict[str, Any]:
        return _head(body, "text_completion") | {"choices": [{"text": text, "index": 0, "finish_reason": finish}]}

    last = _head(body, "text_completion") | {"choices": [], "usage": usage(reply)}
    return [*map(sse, [*map(event, pieces(reply.content)), event("", reply.finish), last]), b"data: [DONE]\n\n"]


def completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    choice = {"text": text_of(reply)[0], "index": 0, "finish_reason": "stop"}
    return _head(body, "text_completion") | {"choices": [choice], "usage": usage(reply)}


def error(message: str) -> tuple[int, bytes]:
    tree = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    return 400, json.dumps(tree).encode()


OLLAMA = Played(
    "ollama", frozenset(FIELDS), frozenset(_SHARED | {"prompt"}),
    stream, whole, completion_stream, completion, error, ("fp_ollama",),
    frozenset(("system", "user", "assistant", "tool")),
)  # fmt: skip
