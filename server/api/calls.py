"""From a body to a `Call`: parse, resolve the model, check what depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time
from typing import TypeVar

import msgspec

from server.anthropic.request import ALLOWED as IN_MESSAGES
from server.anthropic.request import CountRequest, MessagesRequest, Prompted
from server.anthropic.signature import Signer
from server.anthropic.translate import chat_of
from server.call import Call, Key, ServedModel
from server.config import PriorityClass, Served
from server.errors import ModelNotFound, PermissionDenied, UnsupportedValue
from server.openai.chat_request import ChatRequest, CompletionRequest, Sampling
from server.openai.parse import CHAT, COMPLETION, parse
from server.openai.pooling_request import EMBEDDING, RERANK, PoolingRequest, validate_embedding, validate_rerank
from server.openai.validate import check_extra_fields, check_length, validate_chat, validate_completion
from server.responses.hosted import NO_OFFERS, Offers
from server.responses.request import ALLOWED, CompactRequest, InputTokensRequest, ResponsesRequest
from server.responses.request import Prompted as ResponsePrompt
from server.responses.seal import Sealer
from server.responses.translate import Past, refuse_unserved, translated

MESSAGES = msgspec.json.Decoder(MessagesRequest)
COUNT = msgspec.json.Decoder(CountRequest)
RESPONSES = msgspec.json.Decoder(ResponsesRequest)
INPUT_TOKENS = msgspec.json.Decoder(InputTokensRequest)
COMPACT = msgspec.json.Decoder(CompactRequest)
P = TypeVar("P", bound=ResponsePrompt)
_ENCODE = msgspec.json.Encoder().encode
PATHS: Mapping[Served, str] = {
    "chat": "/v1/chat/completions",
    "embeddings": "/v1/embeddings",
    "rerank": "/v1/rerank",
}


class Catalogue:
    """The served models, by id and by alias."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self.models = models
        self._by_name = {alias: model for model in models.values() for alias in (model.id, *model.config.aliases)}

    def serving(self, model: ServedModel, key: Key, available: Callable[[str], bool]) -> ServedModel:
        """`model`, or the nearest of its fallbacks that is `available` and that the key may use."""
        one = model
        while not available(one.id):
            following = one.config.fallback
            if following is None or (key.models is not None and following not in key.models):
                return model
            one = self.models[following]
        return one

    def find(self, name: str, key: Key) -> ServedModel:
        """Raises `ModelNotFound`, `PermissionDenied`; both list what there is for this key."""
        model = self._by_name.get(name)
        if model is not None and (key.models is None or model.id in key.models):
            return model
        there = ", ".join(one for one in self.models if key.models is None or one in key.models) or "none"
        if model is None:
            raise ModelNotFound(f"This server has no model of that name. Models: {there}.", param="model")
        raise PermissionDenied(f"This key may not use that model. Models: {there}.", param="model")

    def find_for(self, served: Served, name: str, key: Key) -> ServedModel:
        """As `find`. Raises `UnsupportedValue` for a model that is for something else, and says what to use."""
        model = self.find(name, key)
        if served not in model.config.serves:
            its = " and ".join(f"{one} (POST {PATHS[one]})" for one in model.config.serves)
            able = [one.id for one in self.models.values() if served in one.config.serves]
            there = ", ".join(one for one in able if key.models is None or one in key.models) or "none"
            raise UnsupportedValue(
                f"The model '{model.id}' serves {its}, not {served}. Models for {served}: {there}.", param="model"
            )
        return model


class CallFactory:
    """`salt` gives a project's prefix-cache salt; `available` says whether a model's engines can serve. Both by id.

    `signer` and `sealer` know what the models thought.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        max_json_depth: int,
        salt: Callable[[str], str],
        signer: Signer,
        sealer: Sealer,
        available: Callable[[str], bool],
    ) -> None:
        self._catalogue = catalogue
        self._available = available
        self._signer = signer
        self._sealer = sealer
        self._salt = salt
        self._max_depth = max_json_depth

    def chat(self, body: bytes, key: Key, request_id: str) -> Call:
        check_endpoint(key, "chat.completions")
        request = parse(CHAT, body, self._max_depth)
        validate_chat(request)
        wanted, model = self._model(request, key)
        asked = request.max_completion_tokens
        check_length(asked, "max_completion_tokens", model.config.context_length)
        call = self._call("chat.completions", request, key, request_id, model, wanted, len(body))
        call.priority = asked_class(key.priority, request.service_tier)
        return call

    def completion(self, body: bytes, key: Key, request_id: str) -> Call:
        check_endpoint(key, "completions")
        request = parse(COMPLETION, body, self._max_depth)
        wanted, model = self._model(request, key)
        validate_completion(request, raw_special_tokens=model.config.raw_special_tokens)
        return self._call("completions", request, key, request_id, model, wanted, len(body))

    def message(self, body: bytes, key: Key, request_id: str) -> Call:
        check_endpoint(key, "messages")
        request = parse(MESSAGES, body, self._max_depth, IN_MESSAGES)
        call = self._translated(request, body, key, request_id)
        call.body.top_k = request.top_k  # Anthropic's own field: no operator has to allow it
        call.include_usage = True
        return call

    def counted_message(self, body: bytes, key: Key, request_id: str) -> Call:
        """A call that goes nowhere: only its prompt is of interest."""
        check_endpoint(key, "messages")
        return self._translated(parse(COUNT, body, self._max_depth, IN_MESSAGES), body, key, request_id)

    def _translated(self, request: Prompted, body: bytes, key: Key, request_id: str) -> Call:
        chat = chat_of(request, self._signer, key.project.id)
        validate_chat(chat)
        wanted, model = self._model(chat, key)
        check_length(chat.max_completion_tokens, "max_tokens", model.config.context_length)
        # What bounds its tokens is its size in OpenAI's shape (tokens/bound.py), and that can be larger.
        size = max(len(body), len(_ENCODE(chat)))
        return self._call("messages", chat, key, request_id, model, wanted, size)

    def asked_response(self, body: bytes, key: Key) -> ResponsesRequest:
        """The request for a response, of which what it goes on from is to be looked up before it becomes a call."""
        return self._asked(RESPONSES, body, key)

    def asked_input_tokens(self, body: bytes, key: Key) -> InputTokensRequest:
        return self._asked(INPUT_TOKENS, body, key)

    def asked_compaction(self, body: bytes, key: Key) -> CompactRequest:
        return self._asked(COMPACT, body, key)

    def _asked(self, decoder: msgspec.json.Decoder[P], body: bytes, key: Key) -> P:
        check_endpoint(key, "responses")
        request = parse(decoder, body, self._max_depth, ALLOWED)
        refuse_unserved(request)
        return request

    def response(
        self, request: ResponsePrompt, past: Past, size: int, key: Key, request_id: str, offers: Offers = NO_OFFERS
    ) -> Call:
        """`size` of the request's body, bytes."""
        chat, asked = translated(request, past, self._sealer, key.project.id, int(time()), offers)
        validate_chat(chat)
        wanted, model = self._model(chat, key)
        check_length(chat.max_completion_tokens, "max_output_tokens", model.config.context_length)
        size = max(size, len(_ENCODE(chat)))
        chat.asked = asked
        call = self._call("responses", chat, key, request_id, model, wanted, size)
        call.include_usage = True
        if isinstance(request, ResponsesRequest | CompactRequest):
            call.priority = asked_class(key.priority, request.service_tier)
        return call

    def embedding(self, body: bytes, key: Key, request_id: str) -> Call:
        check_endpoint(key, "embeddings")
        request = parse(EMBEDDING, body, self._max_depth)
        model = self._catalogue.find_for("embeddings", request.model, key)
        validate_embedding(request, model.config.context_length)
        return self._call("embeddings", request, key, request_id, model, model, len(body))

    def rerank(self, body: bytes, key: Key, request_id: str) -> Call:
        check_endpoint(key, "rerank")
        request = parse(RERANK, body, self._max_depth)
        validate_rerank(request)
        wanted = model = self._catalogue.find_for("rerank", request.model, key)
        if wanted.config.fallback is not None:
            model = self._catalogue.serving(wanted, key, self._available)
        return self._call("rerank", request, key, request_id, model, wanted, len(body))

    def _model(self, request: Sampling, key: Key) -> tuple[ServedModel, ServedModel]:
        """The one that is asked for and the one that serves."""
        wanted = model = self._catalogue.find_for("chat", request.model, key)
        if wanted.config.fallback is not None:
            model = self._catalogue.serving(wanted, key, self._available)
        check_extra_fields(request, model.config.extra_fields)
        check_length(request.max_tokens, "max_tokens", model.config.context_length)
        return wanted, model

    def _call(
        self,
        endpoint: str,
        request: ChatRequest | CompletionRequest | PoolingRequest,
        key: Key,
        request_id: str,
        model: ServedModel,
        wanted: ServedModel,
        size: int,
    ) -> Call:
        if isinstance(request, PoolingRequest):
            generates = stream = usage = False
        else:
            options = request.stream_options
            generates, stream, usage = True, bool(request.stream), bool(options and options.include_usage)
        return Call(
            id=request_id,
            endpoint=endpoint,
            key=key,
            model=model,
            body=request,
            stream=stream,
            generates=generates,
            include_usage=usage,
            size=size,
            priority=key.priority,
            cache_salt=self._salt(key.project.id),
            fallback_from=None if model is wanted else wanted.id,
            guards=tuple(request.guardrails) if request.guardrails else (),
        )


def check_endpoint(key: Key, endpoint: str) -> None:
    """Raises `PermissionDenied`."""
    if key.endpoints is not None and endpoint not in key.endpoints:
        there = ", ".join(sorted(key.endpoints)) or "none"
        raise PermissionDenied(f"This key may not use this endpoint. Endpoints: {there}.")


def asked_class(granted: PriorityClass, service_tier: str | None) -> PriorityClass:
    """`flex` lowers a call to batch; every other tier is what the key grants: nobody can raise himself."""
    return "batch" if service_tier == "flex" else granted
