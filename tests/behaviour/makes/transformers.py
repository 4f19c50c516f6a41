"""`transformers serve`. Seen on the running server, 5.19.0 with the demo model, and read in its cli/serving: no
[DONE], usage on the last chunk, null fields left out, gpt-oss's format without its control tokens as content.
With `PARSED` it has a response template for the model, and knows reasoning and calls.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tests.behaviour.makes import CREATED, Played, finish_of, pieces, sse, text_of, usage
from tests.behaviour.vllm import Reply

_SHARED = {"model", "temperature", "top_p", "max_tokens", "seed", "stream"}
FIELDS = _SHARED | {"messages", "tools", "chat_template_kwargs", "stop"}
ID = "01c11aaf-0586-4a34-99fd-64b1b115fe02"


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"created": CREATED, "model": f"{body['model']}@main", "object": kind}


def _chunk(body: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"delta": delta, "index": 0} | ({"finish_reason": finish} if finish else {})
    return {"id": ID, "choices": [choice], **_head(body, "chat.completion.chunk"), "system_fingerprint": ""}


def _inline(reply: Reply) -> list[str]:
    texts = ["analysis", *pieces(reply.reasoning)] if reply.reasoning else []
    for name, arguments in reply.tool_calls:
        return [*texts, "assistant", "comment", "ary", " to", "=functions", f".{name}", " ", "json", *arguments]
    return [*texts, *(["assistant"] if texts else []), "final", *pieces(reply.content)]


def stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    events = [_chunk(body, {"role": "assistant"})]
    events += [_chunk(body, {"content": text}) for text in _inline(reply)]
    for at, one in enumerate(events):
        one["created"] += at // 4  # the time of each chunk
    return [*map(sse, events), sse(_chunk(body, {}, reply.finish) | {"usage": usage(reply)})]


def parsed_stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    events = [_chunk(body, {"role": "assistant"})]
    events += [_chunk(body, {"reasoning_content": text}) for text in pieces(reply.reasoning)]
    events += [_chunk(body, {"content": text}) for text in pieces(reply.content)]
    for index, (name, arguments) in enumerate(reply.tool_calls):
        function = {"arguments": arguments, "name": name}
        call = {"index": index, "id": f"{ID}_tool_call_{index}", "function": function, "type": "function"}
        events.append(_chunk(body, {"tool_calls": [call]}))
    return [*map(sse, events), sse(_chunk(body, {}, finish_of(reply)) | {"usage": usage(reply)})]


def _whole(body: dict[str, Any], message: dict[str, Any], reply: Reply) -> dict[str, Any]:
    choice = {"finish_reason": reply.finish, "index": 0, "message": {**message, "role": "assistant"}}
    return {"id": ID, "choices": [choice], **_head(body, "chat.completion"), "usage": usage(reply)}


def whole(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    return _whole(body, {"content": "".join(_inline(reply))}, reply)


def parsed_whole(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    content, reasoning = text_of(reply)
    return _whole(body, {"content": content} | ({"reasoning_content": reasoning} if reasoning else {}), reply)


def completion_stream(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    def event(choice: dict[str, Any]) -> dict[str, Any]:
        return {"id": ID, "choices": [{"index": 0, **choice}], **_head(body, "text_completion")}

    events = [event({"text": text}) for text in pieces(reply.content)]
    return [*map(sse, [*events, event({"text": "", "finish_reason": reply.finish}) | {"usage": usage(reply)}])]


def completion(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    choice = {"finish_reason": "stop", "index": 0, "text": text_of(reply)[0]}
    return {"id": ID, "choices": [choice], **_head(body, "text_completion"), "usage": usage(reply)}


def error(message: str) -> tuple[int, bytes]:
    return 422, json.dumps({"detail": f"Unexpected fields in the request: {message}"}).encode()


TRANSFORMERS = Played(
    "transformers", frozenset(FIELDS), frozenset(_SHARED | {"prompt"}),
    stream, whole, completion_stream, completion, error, ("@main",),
)  # fmt: skip
PARSED = dataclasses.replace(TRANSFORMERS, stream=parsed_stream, whole=parsed_whole)
