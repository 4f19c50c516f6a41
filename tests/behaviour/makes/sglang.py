"""SGLang. Read in python/sglang/srt/entrypoints/openai/{protocol,serving_chat,serving_completions}.py at commit
004c82e0 (2026) of sgl-project/sglang: pydantic models whose null fields are sent, `reasoning_content`, errors bare.
"""

from __future__ import annotations

import json
from typing import Any

from tests.behaviour.makes import CREATED, Played, finish_of, pieces, sse, text_of, usage
from tests.behaviour.vllm import Reply

_SHARED = {
    *("model", "temperature", "top_p", "n", "max_tokens", "seed", "frequency_penalty", "presence_penalty"),
    *("logit_bias", "stream", "stream_options", "top_k", "min_p", "repetition_penalty", "min_tokens", "logprobs"),
}
FIELDS = _SHARED | {
    *("messages", "max_completion_tokens", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls"),
    *("response_format", "reasoning_effort", "chat_template_kwargs"),
}


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "b3a1f0c2d4", "object": kind, "created": CREATED, "model": body["model"]}


def _usage(reply: Reply) -> dict[str, Any]:
    return usage(reply) | {"prompt_tokens_details": None, "reasoning_tokens": len(pieces(reply.reasoning))}


def _chunk(body: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    empty = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}
    choice = {"index": 0, "delta": empty | delta, "logprobs": None, "finish_reason": finish, "matched_stop": None}
    return _head(body, "chat.completion.chunk") | {"choices": [choice], "usage": None}


def stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    events = [_chunk(body, {"role": "assistant", "content": ""})]
    events += [_chunk(body, {"reasoning_content": text}) for text in pieces(reply.reasoning)]
    events += [_chunk(body, {"content": text}) for text in pieces(reply.content)]
    for index, (name, arguments) in enumerate(reply.tool_calls):
        call = {"id": f"call_{index:024d}", "index": index, "type": "function"}
        half = len(arguments) // 2
        first, more = {"name": name, "arguments": arguments[:half]}, {"name": None, "arguments": arguments[half:]}
        events.append(_chunk(body, {"tool_calls": [call | {"function": first}]}))
        events.append(_chunk(body, {"tool_calls": [call | {"id": None, "function": more}]}))
    events.append(_chunk(body, {}, finish_of(reply)))
    options = body.get("stream_options") or {}
    if options.get("continuous_usage_stats"):
        for done, one in enumerate(events):
            one["usage"] = _usage(reply) | {"completion_tokens": min(done, reply.tokens)}
    if options.get("include_usage"):
        events.append(_head(body, "chat.completion.chunk") | {"choices": [], "usage": _usage(reply)})
    return [*map(sse, events), b"data: [DONE]\n\n"]


def whole(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    content, reasoning = text_of(reply)
    message = {"role": "assistant", "content": content, "reasoning_content": reasoning, "tool_calls": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish, "matched_stop": 200002}
    rest = {"choices": [choice], "usage": _usage(reply), "metadata": {"weight_version": "default"}}
    return _head(body, "chat.completion") | rest


def completion_stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    def event(text: str, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish, "matched_stop": None}
        return _head(body, "text_completion") | {"choices": [choice], "usage": None}

    last = _head(body, "text_completion") | {"choices": [], "usage": _usage(reply)}
    return [*map(sse, [*map(event, pieces(reply.content)), event("", reply.finish), last]), b"data: [DONE]\n\n"]


def completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "text": text_of(reply)[0], "logprobs": None, "finish_reason": "stop", "matched_stop": 1}
    return _head(body, "text_completion") | {"choices": [choice], "usage": _usage(reply), "metadata": {}}


def error(message: str) -> tuple[int, bytes]:
    tree = {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
    return 400, json.dumps(tree).encode()


SGLANG = Played(
    "sglang", frozenset(FIELDS), frozenset(_SHARED | {"prompt", "echo", "stop"}),
    stream, whole, completion_stream, completion, error, ("matched_stop", "metadata", "weight_version"),
)  # fmt: skip
