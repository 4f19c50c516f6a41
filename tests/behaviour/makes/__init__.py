"""Engines of other makes, played by the engine double: one module for each, with the shapes that it answers.

Nothing here was recorded from a running server but for `transformers`; each module says where its shapes were read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.behaviour.engine_double import Exchange, Script
from tests.behaviour.vllm import Reply, joined, pieces

PROMPT_TOKENS = 42
CREATED = 1795000000


@dataclass(frozen=True)
class Played:
    """A make. `stream` has the events of a body's answer as bytes, up to [DONE] where there is one."""

    name: str
    fields: frozenset[str]  # that it takes in a chat; `completion_fields` for /v1/completions
    completion_fields: frozenset[str]
    stream: Callable[[Reply, dict[str, Any]], list[bytes]]
    whole: Callable[[Reply, dict[str, Any]], dict[str, Any]]
    completion_stream: Callable[[Reply, dict[str, Any]], list[bytes]]
    completion: Callable[[Reply, dict[str, Any]], dict[str, Any]]
    error: Callable[[str], tuple[int, bytes]]  # its refusal of a request
    internals: tuple[str, ...]  # words that must not reach a client
    roles: frozenset[str] = frozenset(("system", "developer", "user", "assistant", "tool"))


def sse(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def usage(reply: Reply) -> dict[str, Any]:
    made = reply.tokens
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": made, "total_tokens": PROMPT_TOKENS + made}


def text_of(reply: Reply) -> tuple[str, str | None]:
    """Content and reasoning."""
    return joined(reply.content) or "", joined(reply.reasoning)


def finish_of(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls else reply.finish


def plays(make: Played, reply: Reply | None = None) -> Script:
    """The make's answer in the form that is asked for; its own refusal of a field that it does not take."""
    said = reply or Reply(reasoning="They greet me.")

    async def script(exchange: Exchange) -> None:
        body = exchange.call.json
        chat = "messages" in body
        strange = body.keys() - (make.fields if chat else make.completion_fields)
        strange |= {message["role"] for message in body.get("messages", ())} - make.roles
        if strange:
            await exchange.whole(*make.error(f"unexpected: {sorted(strange)}"))
            return
        if not body.get("stream"):
            whole = (make.whole if chat else make.completion)(said, body)
            await exchange.whole(200, json.dumps(whole).encode())
            return
        await exchange.head()
        for event in (make.stream if chat else make.completion_stream)(said, body):
            await exchange.part(event)
            await asyncio.sleep(0)
        await exchange.end()

    return script


__all__ = ["CREATED", "PROMPT_TOKENS", "Played", "finish_of", "pieces", "plays", "sse", "text_of", "usage"]
