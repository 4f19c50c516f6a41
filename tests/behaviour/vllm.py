"""Answers in the shapes of vLLM 0.32 with gpt-oss: key order, null keys and the internals that must not pass on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

ID = "chatcmpl-0123456789abcdef"
FINGERPRINT = "vllm-0.32.0-e02487d4"
PROMPT_TOKENS = 120
DONE = b"data: [DONE]\n\n"

INTERNALS = (
    "prompt_token_ids",
    "prompt_text",
    "prompt_logprobs",
    "token_ids",
    "stop_reason",
    "routed_experts",
    "kv_transfer_params",
    "ec_transfer_params",
    "metrics",
    "vllm",
)
"""Words that no answer of Portico holds."""


@dataclass(frozen=True)
class Reply:
    """What the model says. `tool_calls` are (name, arguments) pairs; a piece of text is one token."""

    content: str | list[str] = "Hello there, friend."
    reasoning: str | list[str] | None = None
    tool_calls: tuple[tuple[str, str], ...] = ()
    finish: str = "stop"
    logprobs: list[dict[str, Any]] | None = None
    cached: int | None = None
    first_call: int = 0  # number of its first tool call: an engine's ids of calls are unlike each other
    others: dict[int, Reply] = field(default_factory=dict)  # replies of the choices after the first, by index

    @property
    def tokens(self) -> int:
        return len(pieces(self.content)) + len(pieces(self.reasoning)) + 2 * len(self.tool_calls)

    def choice(self, index: int) -> Reply:
        return self.others.get(index, self)


DEFAULT = Reply(reasoning="They greet me.")


def pieces(text: str | list[str] | None) -> list[str]:
    """A list as it is; a text cut before each space."""
    return text if isinstance(text, list) else re.findall(r"\s*\S+\s*?", text or "", re.DOTALL)


def joined(text: str | list[str] | None) -> str | None:
    return "".join(text) if isinstance(text, list) else text


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def usage(reply: Reply, completion: int) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "prompt_tokens": PROMPT_TOKENS,
        "total_tokens": PROMPT_TOKENS + completion,
        "completion_tokens": completion,
    }
    if reply.cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": reply.cached}
    counts["completion_tokens_details"] = {"reasoning_tokens": min(completion, len(pieces(reply.reasoning)))}
    return counts


def chunk(
    body: dict[str, Any], delta: dict[str, Any], index: int = 0, finish: str | None = None, logprobs: Any = None
) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    if finish is not None:
        choice["stop_reason"] = 200012 if finish == "tool_calls" else None
    choice["token_ids"] = None
    return _head(body, "chat.completion.chunk") | {"choices": [choice]}


def stream(reply: Reply, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Every event of a streamed chat completion, without [DONE]."""
    choices = range(body.get("n") or 1)
    events = []
    for index in choices:
        first = chunk(body, {"role": "assistant", "content": ""}, index)
        del first["choices"][0]["token_ids"]
        events.append(first | {"prompt_token_ids": None, "prompt_text": None})
    rows = [_deltas(reply.choice(index), body, index) for index in choices]
    for position in range(max(map(len, rows))):  # choices come interleaved
        events += [row[position] for row in rows if position < len(row)]
    options = body.get("stream_options") or {}
    total = sum(reply.choice(index).tokens for index in choices)
    if options.get("continuous_usage_stats"):
        for done, one in enumerate(events):
            one["usage"] = usage(reply, min(total, max(0, done + 1 - len(choices))))
    if options.get("include_usage"):
        end = _head(body, "chat.completion.chunk") | {"choices": [], "usage": usage(reply, total)}
        events.append(end | {"system_fingerprint": FINGERPRINT})
    return events


def _deltas(reply: Reply, body: dict[str, Any], index: int) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]] = [{"reasoning": text} for text in pieces(reply.reasoning)]
    deltas += [{"content": text} for text in pieces(reply.content)]
    for position, (name, arguments) in enumerate(reply.tool_calls):
        call = {"id": f"chatcmpl-tool-{reply.first_call + position:016x}", "type": "function", "index": position}
        deltas.append({"tool_calls": [call | {"function": {"name": name, "arguments": ""}}]})
        half = len(arguments) // 2
        for part in (arguments[:half], arguments[half:]):
            deltas.append({"tool_calls": [{"index": position, "function": {"arguments": part}}]})
    events = []
    for position, delta in enumerate(deltas):
        logprobs = None
        if body.get("logprobs") and reply.logprobs and position < len(reply.logprobs):
            logprobs = {"content": [reply.logprobs[position]]}
        events.append(chunk(body, delta, index, logprobs=logprobs))
    finish = "tool_calls" if reply.tool_calls and reply.finish == "stop" else reply.finish
    if finish == "length" and events:  # the last text and the reason share a chunk
        events[-1]["choices"][0] |= {"finish_reason": finish, "stop_reason": None}
    else:
        events.append(chunk(body, {}, index, finish))
    return events


def unary(reply: Reply, body: dict[str, Any]) -> bytes:
    choices = []
    for index in range(body.get("n") or 1):
        one = reply.choice(index)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": joined(one.content),
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "reasoning": joined(one.reasoning),
        }
        choice = {"index": index, "message": message, "logprobs": None, "finish_reason": one.finish}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": one.logprobs}
        choices.append(choice | {"stop_reason": None, "token_ids": None, "routed_experts": None})
    total = sum(reply.choice(index).tokens for index in range(len(choices)))
    rest = {
        "choices": choices,
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage(reply, total),
        "prompt_logprobs": None,
        "prompt_token_ids": [200006, 17360, 200008],
        "prompt_text": None,
        "kv_transfer_params": {"vllm": 1},
        "ec_transfer_params": None,
        "metrics": None,
    }
    return json.dumps(_head(body, "chat.completion") | rest, ensure_ascii=False).encode()


def completion(reply: Reply, body: dict[str, Any]) -> bytes:
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    choices = [
        {
            "index": index,
            "text": joined(reply.content),
            "logprobs": None,
            "finish_reason": reply.finish,
            "stop_reason": None,
            "token_ids": None,
            "prompt_logprobs": None,
            "prompt_token_ids": None,
        }
        for index in range(len(prompts) * (body.get("n") or 1))
    ]
    rest = {"choices": choices, "service_tier": None, "system_fingerprint": FINGERPRINT, "kv_transfer_params": None}
    rest["usage"] = usage(reply, reply.tokens)
    return json.dumps(_head(body, "text_completion") | rest).encode()


def completion_stream(reply: Reply, body: dict[str, Any]) -> list[dict[str, Any]]:
    texts = pieces(reply.content)
    events = []
    for position, text in enumerate(texts):
        finish = reply.finish if position == len(texts) - 1 else None
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish, "stop_reason": None}
        events.append(_head(body, "text_completion") | {"choices": [choice | {"token_ids": None}]})
    end = _head(body, "text_completion") | {"choices": [], "usage": usage(reply, len(texts))}
    return [*events, end | {"system_fingerprint": FINGERPRINT}]


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": ID, "object": kind, "created": 1795000000, "model": body["model"]}
