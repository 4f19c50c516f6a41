"""The section of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from server.config.engine import EngineMake
from server.config.section import Effort, Name, Section

Served = Literal["chat", "embeddings", "rerank"]
"""What a model can be for. `chat` is whatever generates text, on all endpoints that do."""

UNSERVED: Mapping[EngineMake, frozenset[Served]] = {
    "lmstudio": frozenset(("rerank",)),
    "ollama": frozenset(("rerank",)),
    "transformers": frozenset(("embeddings", "rerank")),
}
"""What a make of engine has no endpoint for; docs/engines.md says where that was read."""


def first_unserved(serves: Iterable[Served], make: EngineMake) -> Served | None:
    """Of what a model is to serve, the first that an engine of this make does not."""
    return next((one for one in serves if one in UNSERVED.get(make, ())), None)


class Limit(Section):
    """What a key, a project or a model may use; null is no limit."""

    requests_per_minute: int | None = Field(default=None, ge=1, description="Requests in any 60 seconds.")
    requests_per_day: int | None = Field(default=None, ge=1, description="Requests in a day, which begins at 0:00 UTC.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Tokens of prompts and answers in any 60 seconds."
    )
    tokens_per_day: int | None = Field(default=None, ge=1, description="Tokens of prompts and answers in a day (UTC).")
    concurrent_requests: int | None = Field(default=None, ge=1, description="Requests that may be open at once.")
    spend_per_month: float | None = Field(
        default=None, gt=0, description="Cost in a month (UTC), by `models.*.price`, in the unit of the prices."
    )


class Defaults(Section):
    temperature: float | None = Field(default=None, ge=0, le=2, description="Used where the request names none.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Used where the request names none.")
    max_tokens: int | None = Field(default=None, ge=1, description="Bound of the answer where the request names none.")
    reasoning_effort: Effort | None = Field(default=None, description="Used where the request names none.")


ExtraField = Literal[
    "top_k", "min_p", "repetition_penalty", "min_tokens", "length_penalty", "include_stop_str_in_output"
]


class Price(Section):
    """Per million tokens, in any one currency."""

    input: float = Field(default=0, ge=0, description="Of the prompt, per million tokens.")
    cached_input: float | None = Field(default=None, ge=0, description="Of cached prompt tokens; default: as `input`.")
    output: float = Field(default=0, ge=0, description="Of the answer with its reasoning, per million tokens.")


class Model(Section):
    engines: tuple[str, ...] = Field(min_length=1, description="Engines that serve it; several form a fleet.")
    engine_model: str | None = Field(default=None, description="What the engine calls it, where that differs.")
    fallback: str | None = Field(
        default=None, description="The model that answers in its place while none of its engines can."
    )
    serves: tuple[Served, ...] = Field(
        default=("chat",),
        min_length=1,
        description="What it is for: `chat` (all that writes text), `embeddings`, `rerank`.",
    )
    aliases: tuple[Name, ...] = Field(default=(), description="Further names that clients may use.")
    context_length: int = Field(default=131_072, ge=16, description="Longest prompt and answer together, in tokens.")
    description: str | None = Field(default=None, description="Shown by /v1/models.")
    developer_prompt: str | None = Field(default=None, description="A developer message put in front of every chat.")
    defaults: Defaults = Field(default_factory=Defaults, description="Values for fields that a request leaves out.")
    reasoning: Literal["shown", "hidden"] = Field(
        default="shown", description="Whether clients get the chain of thought."
    )
    extra_fields: tuple[ExtraField, ...] = Field(
        default=(), description="Sampling fields of vLLM that clients may use."
    )
    raw_special_tokens: bool = Field(
        default=False, description="Whether /v1/completions prompts may hold control tokens such as <|start|>."
    )
    limits: Limit = Field(default_factory=Limit, description="Limits of all its calls together.")
    price: Price = Field(default_factory=Price, description="What its tokens cost.")
