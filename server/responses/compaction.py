"""A conversation that is compacted: a summary by the model stands for all of it but what users said. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from server.responses.kept import full_items

TASK = """Summarise the conversation so far for a model that will go on with it and sees, besides your summary, only \
what the user wrote. Write down:
- what the user wants, with every requirement, preference and constraint;
- what was done and found out, with the names, paths, numbers and quotations that will be needed again;
- what was decided, and why; what failed, and how;
- what is left to do, and what comes next.
Be complete and brief. Write the summary and nothing else. Do not answer the user, and call no tools."""
SUMMARY = "A summary of the conversation before this point, by the model that led it:\n\n"
BYTES_PER_TOKEN = 4  # about
_encode = msgspec.json.encode


def retained(window: Sequence[Raw | bytes], stem: str, context_length: int) -> list[dict[str, Any]]:
    """What the user said in it, in the full form: all, or the newest that take about half of the model's context."""
    left = context_length * BYTES_PER_TOKEN // 2
    found: list[dict[str, Any]] = []
    for item in reversed(full_items(window, stem)):
        if item["type"] != "message" or item["role"] != "user":
            continue
        left -= len(_encode(item))
        if left < 0:
            break
        found.append(item)
    return found[::-1]
