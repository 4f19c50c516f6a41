"""What an engine is asked: built field by field, so that what is not named here cannot reach it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from server.call import Call
from server.config import Defaults, Model, PriorityClass
from server.openai.chat_request import ChatRequest, CompletionRequest, Message, Sampling, StreamOptions, Strict
from server.openai.prompt import chat_prompt

PRIORITIES: dict[PriorityClass, int] = {"interactive": 0, "standard": 1, "batch": 2}
"""vLLM computes the lower number first."""

SMALLEST_TOP_P = 1e-6  # OpenAI allows 0, vLLM does not; both mean the most likely token
SMALLEST_TEMPERATURE = 0.01  # vLLM refuses n > 1 below it, OpenAI does not

Number = TypeVar("Number", int, float)

_ENCODER = msgspec.json.Encoder()


class ContinuousStreamOptions(Strict):
    """vLLM's: usage on every chunk, so that it is known when the gateway ends the stream itself."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


USAGE_AT_END = StreamOptions(include_usage=True)
USAGE_ALWAYS = ContinuousStreamOptions(include_usage=True, continuous_usage_stats=True)


class EngineRequest(Sampling, kw_only=True):
    """Sampling fields plus what vLLM takes besides."""

    stream_options: StreamOptions | ContinuousStreamOptions | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    messages: list[Message] | None = None
    prompt: str | list[str] | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    tools: list[object] | None = None
    tool_choice: object = None
    parallel_tool_calls: bool | None = None
    response_format: object = None
    reasoning_effort: str | None = None
    echo: bool | None = None
    priority: int | None = None
    cache_salt: str | None = None


def streams_from_engine(call: Call) -> bool:
    """Whether the engine's answer is read as it comes: it is asked for a stream, or for vectors or scores.

    Also for unary calls with tools, because vLLM writes tool arguments differently on its two paths; with stop texts,
    because the gateway finds those itself and then ends the engine's work; and with a forced schema, because vLLM's
    unary path can lose the answer (answers/calls.py).
    """
    body = call.body
    if isinstance(body, ChatRequest):
        return call.stream or bool(body.tools or body.stop or body.response_format)
    return call.stream or not call.generates


def ends_early(call: Call) -> bool:
    """Whether the gateway may end the answer before the engine does: it has to know what was used until then."""
    return call.check is not None or bool(isinstance(call.body, ChatRequest) and call.body.stop)


def engine_request(call: Call, *, streams: bool, vllm: bool = False) -> bytes:
    """The JSON for the engine, which is asked for a stream or not, and which takes what only `vllm` knows."""
    body: Sampling = call.body
    model = call.model.config
    defaults = model.defaults
    request = EngineRequest(
        model=call.model.engine_name,
        temperature=_or(body.temperature, defaults.temperature),
        top_p=_or(body.top_p, defaults.top_p),
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        logit_bias=body.logit_bias,
        n=body.n,
        seed=body.seed,
        max_tokens=_or(call.answer_tokens, _max_tokens(body, defaults)),
        top_k=body.top_k,
        min_p=body.min_p,
        repetition_penalty=body.repetition_penalty,
        length_penalty=body.length_penalty,
        min_tokens=body.min_tokens,
        include_stop_str_in_output=body.include_stop_str_in_output,
    )
    if request.top_p == 0:
        request.top_p = SMALLEST_TOP_P
    if body.n and body.n > 1 and request.temperature is not None and request.temperature < SMALLEST_TEMPERATURE:
        request.temperature = SMALLEST_TEMPERATURE
    if isinstance(body, ChatRequest):
        _chat(request, body, model)
    elif isinstance(body, CompletionRequest):
        _completion(request, body)
    if streams:
        request.stream = True
        request.stream_options = USAGE_ALWAYS if ends_early(call) else USAGE_AT_END
    if vllm:
        request.priority = PRIORITIES[call.priority]
        request.cache_salt = call.cache_salt
    return _ENCODER.encode(request)


def _chat(request: EngineRequest, body: ChatRequest, model: Model) -> None:
    prompt = chat_prompt(body, model)
    request.messages = prompt.messages
    request.logprobs = body.logprobs
    request.top_logprobs = body.top_logprobs
    request.reasoning_effort = prompt.effort
    request.response_format = body.response_format
    if prompt.tools:
        request.tools = list(prompt.tools)
        request.tool_choice = body.tool_choice
        request.parallel_tool_calls = body.parallel_tool_calls


def _completion(request: EngineRequest, body: CompletionRequest) -> None:
    request.prompt = body.prompt
    request.logprobs = body.logprobs
    request.echo = body.echo
    request.stop = body.stop


def _max_tokens(body: Sampling, defaults: Defaults) -> int | None:
    asked = body.max_completion_tokens if isinstance(body, ChatRequest) else None
    return _or(_or(asked, body.max_tokens), defaults.max_tokens)


def _or(asked: Number | None, default: Number | None) -> Number | None:
    return default if asked is None else asked
