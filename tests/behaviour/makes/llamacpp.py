"""llama.cpp's server. Requests: oaicompat_*_params_parse in tools/server/server-common.cpp at commit 006639c3 of
ggml-org/llama.cpp; a stream: issue 15443 there (b6210), whose usage is on the last chunk of the choice; the error of a
prompt that is too long: n_prompt_tokens and n_ctx beside the message.
"""

from __future__ import annotations

import json
from typing import Any

from tests.behaviour.makes import CREATED, Played, finish_of, pieces, sse, text_of, usage
from tests.behaviour.vllm import Reply

_SHARED = {
    *("model", "temperature", "top_p", "max_tokens", "seed", "frequency_penalty", "presence_penalty", "logit_bias"),
    *("stream", "stream_options", "top_k", "min_p", "repeat_penalty"),
}
FIELDS = _SHARED | {
    *("messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "chat_template_kwargs"),
    *("logprobs", "top_logprobs"),
}
TIMINGS = {"prompt_n": 14, "prompt_ms": 53.7, "predicted_n": 11, "predicted_ms": 80.1}


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    start = {"created": CREATED, "id": "chatcmpl-DwWJriZJ4TnyeMBHO3WmhUJhYUqQg1RP", "model": body["model"]}
    return start | {"system_fingerprint": "b6210-a094f381", "object": kind}


def _chunk(body: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"finish_reason": finish, "index": 0, "delta": delta}
    return {"choices": [choice]} | _head(body, "chat.completion.chunk")


def stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    events = [_chunk(body, {"role": "assistant", "content": None})]
    events += [_chunk(body, {"reasoning_content": text}) for text in pieces(reply.reasoning)]
    events += [_chunk(body, {"content": text}) for text in pieces(reply.content)]
    for index, (name, arguments) in enumerate(reply.tool_calls):
        function = {"name": name, "arguments": arguments[:1]}
        call = {"index": index, "id": f"Zk3{index}", "type": "function", "function": function}
        events.append(_chunk(body, {"tool_calls": [call]}))
        events.append(_chunk(body, {"tool_calls": [{"index": index, "function": {"arguments": arguments[1:]}}]}))
    events.append(_chunk(body, {}, finish_of(reply)) | {"usage": usage(reply), "timings": TIMINGS})
    return [*map(sse, events), b"data: [DONE]\n\n"]


def whole(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    content, reasoning = text_of(reply)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    choice = {"finish_reason": reply.finish, "index": 0, "message": message}
    return {"choices": [choice]} | _head(body, "chat.completion") | {"usage": usage(reply), "timings": TIMINGS}


def completion_stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    def event(text: str, finish: str | None = None) -> dict[str, Any]:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
        return {"choices": [choice]} | _head(body, "text_completion")

    last = event("", reply.finish) | {"usage": usage(reply), "timings": TIMINGS}
    return [*map(sse, [*map(event, pieces(reply.content)), last]), b"data: [DONE]\n\n"]


def completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    choice = {"text": text_of(reply)[0], "index": 0, "logprobs": None, "finish_reason": "stop"}
    return {"choices": [choice]} | _head(body, "text_completion") | {"usage": usage(reply), "timings": TIMINGS}


def error(message: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": {"code": 400, "message": message, "type": "invalid_request_error"}}).encode()


TOO_LONG = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "request (13392 tokens) exceeds the available context size (8192 tokens), try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 13392,
            "n_ctx": 8192,
        }
    }
).encode()

LLAMACPP = Played(
    "llamacpp", frozenset(FIELDS), frozenset(_SHARED | {"prompt", "stop"}),
    stream, whole, completion_stream, completion, error, ("timings", "prompt_ms", "b6210"),
)  # fmt: skip
