"""What a request asks for that not every make does, and which engines of a model do it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from server.call import Call
from server.engines.makes.make import Make, Wish
from server.engines.makes.table import VLLM
from server.errors import UnsupportedValue
from server.openai.chat_request import (
    ChatRequest,
    CompletionRequest,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedToolChoice,
    Sampling,
)
from server.openai.pooling_request import EmbeddingRequest, PoolingRequest

_EXTRA: tuple[Wish, ...] = ("top_k", "min_p", "repetition_penalty", "length_penalty", "min_tokens")


class Made(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def make(self) -> Make: ...


Engine = TypeVar("Engine", bound=Made)
Fitting = Callable[[Call, Sequence[Engine]], Sequence[Engine]]
"""Those of a model's engines that can do what a call asks for. Raises `UnsupportedValue` if none can."""


def fitting_for(engines: Iterable[Engine]) -> Fitting[Engine] | None:
    """None where all are vLLM, which does everything: nothing has to be asked then."""
    return None if all(engine.make is VLLM for engine in engines) else fitting


def fitting(call: Call, engines: Sequence[Engine]) -> Sequence[Engine]:
    """In the order of `engines`. Raises `UnsupportedValue`, which names the first field that none, or not one of
    them together with the others, does.
    """
    left = engines
    for wish, param in wishes(call.body):
        able = [engine for engine in left if wish in engine.make.grants]
        if not able:
            raise _refused(param, call.model.id, left)
        left = able
    return left


def wishes(body: Sampling | PoolingRequest) -> Iterator[tuple[Wish, str]]:
    """Each with the field that holds it. A field's default is no wish."""
    if isinstance(body, PoolingRequest):
        if isinstance(body, EmbeddingRequest):
            yield from _of_embedding(body)
        return
    if (body.n or 1) > 1:
        yield "n", "n"
    if body.logit_bias:
        yield "logit_bias", "logit_bias"
    if body.seed is not None:
        yield "seed", "seed"
    if body.frequency_penalty:
        yield "frequency_penalty", "frequency_penalty"
    if body.presence_penalty:
        yield "presence_penalty", "presence_penalty"
    for name in _EXTRA:
        if getattr(body, name) is not None:
            yield name, name
    if isinstance(body, ChatRequest):
        yield from _of_chat(body)
    elif isinstance(body, CompletionRequest):
        yield from _of_completion(body)


def _of_chat(body: ChatRequest) -> Iterator[tuple[Wish, str]]:
    if body.logprobs:
        yield "logprobs", "logprobs"
    if body.tools and body.tool_choice != "none":
        yield "tools", "tools"
        if isinstance(body.tool_choice, NamedToolChoice):
            yield "named_tool", "tool_choice"
        elif body.tool_choice == "required":
            yield "tool_choice", "tool_choice"
        if body.parallel_tool_calls is False:
            yield "parallel_tool_calls", "parallel_tool_calls"
    if isinstance(body.response_format, JsonObjectFormat):
        yield "json_object", "response_format"
    elif isinstance(body.response_format, JsonSchemaFormat):
        yield "json_schema", "response_format"


def _of_completion(body: CompletionRequest) -> Iterator[tuple[Wish, str]]:
    if not isinstance(body.prompt, str) and len(body.prompt) > 1:
        yield "prompts", "prompt"
    if body.echo:
        yield "echo", "echo"
    if body.logprobs is not None:
        yield "prompt_logprobs", "logprobs"
    if body.stop:
        yield "stop", "stop"
    if body.include_stop_str_in_output:
        yield "include_stop_str_in_output", "include_stop_str_in_output"


def _of_embedding(body: EmbeddingRequest) -> Iterator[tuple[Wish, str]]:
    if body.dimensions is not None:
        yield "dimensions", "dimensions"
    if body.of_token_ids:
        yield "token_ids", "input"


def _refused(param: str, model: str, engines: Iterable[Made]) -> UnsupportedValue:
    makes = ", ".join(dict.fromkeys(engine.make.title for engine in engines))
    return UnsupportedValue(
        f"The model '{model}' cannot do what '{param}' asks for: it is served by {makes}. "
        "Leave it out, or use another model.",
        param=param,
    )
