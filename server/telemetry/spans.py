"""The spans of a call, made of its times when it has ended. Pure.

Attributes are those of OpenTelemetry's semantic conventions for generative AI and HTTP. No text of a user is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from server.call import Call, Trace

Attribute = str | int | float | bool
Kind = Literal["internal", "server", "client"]
OPERATIONS: Mapping[str, str] = {"chat.completions": "chat", "completions": "text_completion", "responses": "chat"}
ROUTES: Mapping[str, str] = {
    "chat.completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "rerank": "/v1/rerank",
}
ASKED = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "n": "choice.count",
}
"""Fields of a request, with their names below `gen_ai.request`."""


class Span(NamedTuple):
    """Times in Unix nanoseconds. `error` is a word of ours, or None."""

    trace_id: str
    id: str
    parent: str | None
    name: str
    kind: Kind
    start: int
    end: int
    attributes: Mapping[str, Attribute]
    error: str | None


def spans_of(call: Call, trace: Trace, span: str, queue_span: str, zero: int) -> list[Span]:
    """Of the whole call (`span`) and, within it, its wait and its time at the engine.

    `zero` is the Unix time in nanoseconds at which `perf_counter` was 0.
    """

    def at(moment: float) -> int:
        return zero + int(moment * 1e9)

    finished = call.finished if call.finished is not None else call.received
    error = None if call.outcome == "ok" else call.outcome
    operation = OPERATIONS.get(call.endpoint, call.endpoint)
    name = f"{operation} {call.model.id}"
    facts = _of_model(call, operation)
    whole = facts | _of_http(call)
    spans = [Span(trace.trace_id, span, trace.parent, name, "server", at(call.received), at(finished), whole, error)]
    if call.queued_s:
        until = call.dispatched if call.dispatched is not None else finished
        start, end = at(max(call.received, until - call.queued_s)), at(until)
        waited = {"portico.priority": call.priority}
        spans.append(Span(trace.trace_id, queue_span, span, "queue", "internal", start, end, waited, None))
    if call.dispatched is not None:
        start, end = at(call.dispatched), at(call.engine_done if call.engine_done is not None else finished)
        asked = facts | {"gen_ai.request.model": call.model.engine_name, "portico.retries": call.retries}
        if call.engine is not None:
            asked["portico.engine"] = call.engine
        spans.append(Span(trace.trace_id, trace.engine_parent, span, name, "client", start, end, asked, error))
    return spans


def _of_model(call: Call, operation: str) -> dict[str, Attribute]:
    facts: dict[str, Attribute] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "openai",  # whose protocol it is
        "gen_ai.request.model": call.model.id,
        "gen_ai.response.model": call.model.id,
        "gen_ai.request.stream": call.stream,
    }
    body: Any = call.body
    for field, name in ASKED.items():
        value = getattr(body, field, None)
        if value is not None:
            facts[f"gen_ai.request.{name}"] = value
    if call.tokens is not None:
        facts["gen_ai.usage.input_tokens"] = call.tokens.prompt
        facts["gen_ai.usage.output_tokens"] = call.tokens.completion
        facts["gen_ai.usage.cache_read.input_tokens"] = call.tokens.cached
        facts["gen_ai.usage.reasoning.output_tokens"] = call.tokens.reasoning
    if call.first_token is not None and call.dispatched is not None:
        facts["gen_ai.response.time_to_first_chunk"] = round(call.first_token - call.dispatched, 6)
    if call.outcome != "ok":
        facts["error.type"] = call.outcome
    return facts


def _of_http(call: Call) -> dict[str, Attribute]:
    return {
        "http.request.method": "POST",
        "http.route": ROUTES.get(call.endpoint, call.endpoint),
        "http.response.status_code": call.status,
        "portico.request_id": call.id,
        "portico.project": call.key.project.id,
    }
