"""Items as they are stored and listed: each with its id, and in the full form that OpenAI's answers have. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "cto",
    "reasoning": "rs",
    "mcp_list_tools": "mcpl",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "code_interpreter_call": "ci",
    "web_search_call": "ws",
    "compaction": "cmp",
}
STATELESS = frozenset(("mcp_list_tools", "mcp_approval_request", "mcp_approval_response"))
"""Kinds of items that have no status."""
STEM = 32
"""Letters of an id behind its prefix that are those of the response that it came with."""
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def text_item(text: str) -> bytes:
    """What an input that is one text stands for."""
    return _encode({"type": "message", "role": "user", "content": text})


def full_items(items: str | Sequence[Raw | bytes], stem: str) -> list[dict[str, Any]]:
    """Of one request's input. Those without an id get one made of `stem` and their place."""
    if isinstance(items, str):
        items = [text_item(items)]
    return [_full(_DECODE(one), stem, index) for index, one in enumerate(items)]


def owner_of(item_id: str) -> str | None:
    """The id of the response that an item came with, input or output, by its own id; None for another's."""
    _, found, rest = item_id.partition("_")
    return f"resp_{rest[:STEM]}" if found and len(rest) > STEM else None


def _full(item: dict[str, Any], stem: str, index: int) -> dict[str, Any]:
    kind = item["type"] = item.get("type") or "message"
    item["id"] = item.get("id") or f"{PREFIXES.get(kind, 'item')}_{stem}i{index:04x}"
    if kind == "reasoning":
        item["summary"] = item.get("summary") or []
        return {name: value for name, value in item.items() if value is not None}
    if kind in STATELESS:
        if kind == "mcp_approval_response":
            item["request_id"] = item["approval_request_id"]  # OpenAI's schema asks for both
        return item
    if kind == "compaction":
        return {name: item[name] for name in ("type", "id", "encrypted_content")}
    item["status"] = item.get("status") or "completed"
    if kind == "message":
        item["content"] = _parts(item["content"], item["role"])
    return {name: value for name, value in item.items() if value is not None}


def _parts(content: Any, role: str) -> list[dict[str, Any]]:
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    return [_answered(one) for one in parts] if role == "assistant" else parts


def _answered(part: dict[str, Any]) -> dict[str, Any]:
    """A part of a message of the assistant."""
    if part["type"] == "refusal":
        return part
    return {
        "type": "output_text",
        "text": part["text"],
        "annotations": part.get("annotations") or [],
        "logprobs": part.get("logprobs") or [],
    }
