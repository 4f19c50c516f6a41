"""What Portico has to know of a make of engine: a plain value, one for each make (table.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from server.config import EngineMake

Wish = Literal[
    "n", "logprobs", "logit_bias", "seed", "frequency_penalty", "presence_penalty",
    "tools", "tool_choice", "named_tool", "parallel_tool_calls", "json_object", "json_schema",
    "top_k", "min_p", "repetition_penalty", "length_penalty", "min_tokens", "include_stop_str_in_output",
    "prompts", "echo", "prompt_logprobs", "stop", "dimensions", "token_ids",
]  # fmt: skip
"""What a request can ask for that changes its answer, and that not every make does.

Most are called as the field. `named_tool` is a `tool_choice` that names a function, `json_object` and `json_schema` are
values of `response_format`; `prompts` (several), `echo`, `prompt_logprobs` and `stop` are of `/v1/completions` (stop
texts of chats are found by the gateway); `dimensions` and `token_ids` are of `/v1/embeddings`.
"""

Inline = Literal["think", "harmony"]
"""How a make may leave the chain of thought in the content: as `<think>...</think>`, or in gpt-oss's own format."""


@dataclass(frozen=True, slots=True)
class Make:
    """A make. `grants` is what it does besides plain text; anything else of `Wish` is refused before dispatch."""

    name: EngineMake
    title: str  # for people
    grants: frozenset[Wish]
    effort: Literal["field", "template"] | None = "field"
    """How it is told `reasoning_effort`: by that field, by `chat_template_kwargs`, or not at all."""
    thoughts: tuple[str, ...] = ("reasoning", "reasoning_content")
    """Where its answers have the chain of thought: the first of these that holds text."""
    past_thoughts: str = "reasoning"  # the field under which it reads those of earlier turns
    developer: bool = True  # it knows the role `developer`; else that is `system`
    usage: Literal["continuous", "at end", "unasked"] = "at end"
    """Of streams: with every chunk if asked, at the end if asked, or at the end and it must not be asked."""
    inline: frozenset[Inline] = frozenset()
    bare_rerank: bool = False  # its /rerank takes a query and documents, and nothing else
    health_path: str | None = None  # on its host; None: URL/models
    names: Mapping[str, str] = field(default_factory=dict[str, str])  # its own, for fields of vLLM
