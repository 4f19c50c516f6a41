"""The Response object. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from server.call import Call, Tokens
from server.errors import GatewayError
from server.openai.chat_request import JsonObjectFormat, Sampling
from server.responses.request import JsonSchemaFormat, Prompted, ResponsesRequest
from server.responses.translate import Asked

Status = Literal["queued", "in_progress", "completed", "failed", "incomplete", "cancelled"]
CUT: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is incomplete, by what its choice finished with."""
_builtins = msgspec.to_builtins


def response_id(request_id: str) -> str:
    return f"resp_{request_id.removeprefix('req_')}"


def usage_of(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": 0},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.completion,
    }


def error_of(error: GatewayError) -> dict[str, Any]:
    """OpenAI's short list of codes; the exact one is in the event `error` before it."""
    code = "rate_limit_exceeded" if error.status == 429 else "server_error" if error.status >= 500 else "invalid_prompt"
    return {"code": code, "message": error.message}


def moderation_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """What inline moderation tells of a chat, whose answers may be several: here there is one."""
    return {way: one["results"][0] if "results" in one else one for way, one in found.items()}


def response_of(call: Call, asked: Asked, status: Status, output: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """`facts` are what is known at the end: `usage`, `error`, `incomplete_details`, `completed_at`, `moderation`."""
    told: dict[str, Any] = {
        "id": response_id(call.id),
        "object": "response",
        "created_at": asked.created_at,
        "status": status,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": call.model.id,
        "output": output,
        "usage": None,
        **_echo(call, asked.request, asked),
        **facts,
    }
    if told["usage"] is None:
        del told["usage"]  # OpenAI's schema knows no null there
    return told


def _echo(call: Call, request: Prompted, asked: Asked) -> dict[str, Any]:
    """What an answer repeats of its request."""
    body: Sampling = call.body
    defaults = call.model.config.defaults
    echo = {
        "instructions": request.instructions,
        "previous_response_id": request.previous_response_id,
        "conversation": None if request.conversation_id is None else {"id": request.conversation_id},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "reasoning": _reasoning(request),
        "text": _text(request),
        "tools": asked.tools.echo,
        "tool_choice": _tool_choice(request),
        "temperature": _first(body.temperature, defaults.temperature, 1.0),
        "top_p": _first(body.top_p, defaults.top_p, 1.0),
        "truncation": request.truncation or "disabled",
    }
    if isinstance(request, ResponsesRequest):
        echo |= {
            "background": bool(request.background),
            "max_output_tokens": request.max_output_tokens,
            "max_tool_calls": request.max_tool_calls,
            "metadata": request.metadata or {},
            "prompt_cache_key": request.prompt_cache_key,
            "safety_identifier": request.safety_identifier,
            "service_tier": "flex" if request.service_tier == "flex" else "default",
            "store": request.stored,
            "top_logprobs": request.top_logprobs or 0,
        }
        if request.user is not None:
            echo["user"] = request.user
    return echo


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _reasoning(request: Prompted) -> dict[str, Any]:
    asked = request.reasoning
    if asked is None:
        return {"effort": None, "summary": None}
    return {"effort": asked.effort, "summary": asked.summary or asked.generate_summary}


def _text(request: Prompted) -> dict[str, Any]:
    wanted = request.text.format if request.text is not None else None
    if isinstance(wanted, JsonSchemaFormat):
        shown: dict[str, Any] = {"type": "json_schema", **_builtins(wanted)}
    else:
        shown = {"type": "json_object" if isinstance(wanted, JsonObjectFormat) else "text"}
    verbosity = request.text.verbosity if request.text is not None else None
    return {"format": shown, "verbosity": verbosity or "medium"}


def _tool_choice(request: Prompted) -> Any:
    choice = request.tool_choice
    return "auto" if choice is None else choice if isinstance(choice, str) else _builtins(choice)
