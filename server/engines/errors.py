"""The engine's errors, translated. Its texts may quote the prompt, so none of them passes on whole."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from server.errors import (
    ContextLengthExceeded,
    EngineFailure,
    EngineOverloaded,
    GatewayError,
    InvalidRequest,
    InvalidValue,
)
from server.openai.chat_request import ChatRequest, CompletionRequest
from server.openai.pooling_request import EmbeddingRequest, RerankRequest

# vLLM 0.32 has one text for chats and another for raw prompts: "Input length (9068) exceeds model's maximum context
# length (8192).", "This model's maximum context length is 8192 tokens. ... contains at least 8193 input tokens ..."
# SGLang: "The input (9068 tokens) is longer than the model's context length (8192 tokens)."; llama.cpp: "request (9068
# tokens) exceeds the available context size (8192 tokens), try increasing it".
_CONTEXT = re.compile(
    r"(?:maximum (?:context|model) length (?:is |of |\()|model's context length \(|available context size \()(\d+)"
)
_INPUT_TOKENS = re.compile(
    r"(?:Input length \(|[Ii]nput \(|request \(|(?:contains at least|has|requested|resulted in|prompt contains) )(\d+)"
    r"(?:\)| (?:input )?tokens)"
)
_GRAMMAR = re.compile(r"grammar|json.?schema|structured output|guided", re.IGNORECASE)
_QUOTED = re.compile(r"""(["'`]).*?(?:\1|$)|\binput(?:_value)?[=:].*""")  # where a text may repeat what the user sent
_REJECTED = re.compile(r" \(parameter=.*", re.DOTALL)  # vLLM appends the field and what stood in it
_LONGEST = 300
WRITTEN_ON = ("messages", "prompt")  # fields of requests to which an answer is written
_REQUESTS = (ChatRequest, CompletionRequest, EmbeddingRequest, RerankRequest)
_FIELDS = {name for request in _REQUESTS for name in request.__struct_fields__}


def translate(status: int, body: bytes, texts: str = "messages") -> GatewayError:
    """What a client is told for an engine's answer with `status` >= 400. `texts`: the field that holds what is read."""
    text = message_of(body)
    if status in (400, 413, 422):
        return _bad_request(text, _error_of(body).get("param"), texts)
    if status in (429, 503):
        return EngineOverloaded("The model is overloaded. Try again shortly.", retry_after=2)
    if status in (401, 403):
        return EngineFailure("The engine refuses the gateway's key. The operator must set engines.*.api_key.")
    if status == 404:
        return EngineFailure(
            "The engine does not serve this model, or not at this endpoint. The operator must check "
            "models.*.engine_model, models.*.serves and engines.*.make."
        )
    return EngineFailure("The engine failed to answer this request. Try again.")


def translate_event(payload: bytes) -> GatewayError:
    """For an error (or nonsense) in the middle of a stream or in place of an answer."""
    error = _error_of(payload)
    status = error.get("code")
    if isinstance(status, int) and 400 <= status < 600:
        return translate(status, payload)
    return EngineFailure("The engine sent an answer that cannot be read. Try again.")


def message_of(body: bytes) -> str:
    return str(_error_of(body).get("message") or "")


def _error_of(body: bytes) -> dict[str, Any]:
    """The facts of an error in any shape: `{"error": {...}}`, `{"error": "text"}`, `{"detail": "text"}`,
    `{"detail": [{"loc", "msg"}]}`, or bare as `{"object": "error", "message": ...}`.
    """
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    if not isinstance(tree, dict):
        return {}
    answer = cast("dict[str, Any]", tree)
    error = answer.get("error", answer)
    if not isinstance(error, dict):
        return {"message": error}
    facts = cast("dict[str, Any]", error)
    return facts if "message" in facts else {**facts, "message": _detail(facts.get("detail"))}


def _detail(detail: object) -> str:
    """FastAPI's: a text, or the first of the fields that it refuses. It repeats what stood there, which is left out."""
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        first = cast("dict[str, Any]", detail[0])
        where = cast("list[object]", loc) if isinstance(loc := first.get("loc"), list) else []
        return f"{'.'.join(str(part) for part in where[1:])}: {first.get('msg') or 'not valid'}"
    return detail if isinstance(detail, str) else ""


def _bad_request(text: str, param: object, texts: str) -> InvalidRequest:
    if limit := _CONTEXT.search(text):
        tokens = _INPUT_TOKENS.search(text)
        return _too_long(limit[1], tokens[1] if tokens else "", texts)
    if _GRAMMAR.search(text):
        return InvalidValue(
            "The engine cannot follow this JSON schema. Check it, and leave out unusual keywords.",
            param="response_format",
        )
    first_line = _QUOTED.sub("...", _REJECTED.sub("", text).split("\n", 1)[0])[:_LONGEST]
    message = f"The engine refused the request: {first_line}" if first_line else "The engine refused the request."
    if isinstance(param, str) and param in _FIELDS:
        return InvalidValue(message, param=param)
    return InvalidRequest(message)


def _too_long(limit: str, tokens: str, texts: str) -> ContextLengthExceeded:
    if texts in WRITTEN_ON:
        said = f" Your messages have {tokens} tokens." if tokens else ""
        return ContextLengthExceeded(
            f"This model's maximum context length is {limit} tokens for prompt and answer together.{said} "
            "Shorten the messages or ask for fewer tokens.",
            param=texts,
        )
    said = f" One of yours has {tokens}." if tokens else ""
    return ContextLengthExceeded(
        f"This model's maximum context length is {limit} tokens for each of '{texts}'.{said} Cut what is longer.",
        param=texts,
    )
