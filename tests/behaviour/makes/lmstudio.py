"""LM Studio. Parameters: lmstudio.ai/docs/developer/openai-compat/chat-completions (read 2026-04); the rest from its
API changelog: 0.3.23 `reasoning` of gpt-oss, 0.3.18 `stream_options` and OpenAI's form of errors, 0.3.15 `tool_choice`.
A chunk: issue 378 of lmstudio-ai/lmstudio-bug-tracker.
"""

from __future__ import annotations

import json
from typing import Any

from tests.behaviour.makes import CREATED, Played, finish_of, pieces, sse, text_of, usage
from tests.behaviour.vllm import Reply

_SHARED = {
    *("model", "top_p", "top_k", "temperature", "max_tokens", "stream", "stop", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "repeat_penalty", "seed", "stream_options"),
}
FIELDS = _SHARED | {"messages", "tools", "tool_choice", "response_format", "reasoning_effort"}


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    start = {"id": "chatcmpl-ohpdozcvcgbgxq5y5y768", "object": kind, "created": CREATED, "model": body["model"]}
    return start | {"system_fingerprint": body["model"]}


def _chunk(body: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _head(body, "chat.completion.chunk") | {"choices": [choice]}


def stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    events = [_chunk(body, {"role": "assistant", "reasoning": text}) for text in pieces(reply.reasoning)]
    events += [_chunk(body, {"role": "assistant", "content": text}) for text in pieces(reply.content)]
    for index, (name, arguments) in enumerate(reply.tool_calls):
        call = {"index": index, "id": str(365174485 + index), "type": "function", "function": {"name": name}}
        events.append(_chunk(body, {"role": "assistant", "tool_calls": [call]}))
        more = {"index": index, "type": "function", "function": {"arguments": arguments}}
        events.append(_chunk(body, {"tool_calls": [more]}))
    events.append(_chunk(body, {}, finish_of(reply)))
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(_head(body, "chat.completion.chunk") | {"choices": [], "usage": usage(reply)})
    return [*map(sse, events), b"data: [DONE]\n\n"]


def whole(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    content, reasoning = text_of(reply)
    message: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": []}
    if reasoning:
        message["reasoning"] = reasoning
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish}
    return _head(body, "chat.completion") | {"choices": [choice], "usage": usage(reply), "stats": {}}


def completion_stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    def event(text: str, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return _head(body, "text_completion") | {"choices": [choice]}

    last = _head(body, "text_completion") | {"choices": [], "usage": usage(reply)}
    return [*map(sse, [*map(event, pieces(reply.content)), event("", reply.finish), last]), b"data: [DONE]\n\n"]


def completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "text": text_of(reply)[0], "logprobs": None, "finish_reason": "stop"}
    return _head(body, "text_completion") | {"choices": [choice], "usage": usage(reply), "stats": {}}


def error(message: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": message}).encode()


LMSTUDIO = Played(
    "lmstudio", frozenset(FIELDS), frozenset(_SHARED | {"prompt"}),
    stream, whole, completion_stream, completion, error, ("stats",),
    frozenset(("system", "user", "assistant", "tool")),
)  # fmt: skip
