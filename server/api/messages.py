"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's shape, and the way of a chat completion."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response

from server.anthropic.answer import Ending, Facts, MessageCollector, MessageStream
from server.anthropic.errors import error_body
from server.anthropic.signature import Signer
from server.anthropic.translate import TranslatedChat
from server.api.answer import Answers, StreamAnswer, WholeAnswer
from server.api.calls import CallFactory
from server.api.http import check_content, error_headers
from server.api.inbound import Inbound
from server.api.plain import read_body
from server.auth.keys import KeyRing
from server.call import Call, Tokens
from server.config import Server
from server.errors import GatewayError
from server.openai.events import Batch

COUNT = "/v1/messages/count_tokens"


class TokenCounter(Protocol):
    def count(self, call: Call) -> int | Awaitable[int]: ...


class MessageAnswers(Answers):
    """`signer` signs the thinking that leaves."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def of(
        self, call: Call, request: Inbound, cors: bytes, stall_s: float, grace_s: float
    ) -> WholeAnswer | StreamAnswer:
        body = call.body
        thinking = isinstance(body, TranslatedChat) and body.thinking
        facts = Facts(f"msg_{call.id.removeprefix('req_')}", call.model.id, call.counted or 0, thinking)
        project = call.key.project.id
        if call.stream:
            return MessageStreamed(call, request, cors, stall_s, grace_s, MessageStream(facts, self._signer, project))
        return MessageWhole(call, request, cors, stall_s, MessageCollector(facts, self._signer, project))

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error, request_id)

    def head(self, request_id: str) -> bytes:
        return _own_id(request_id)


class MessageWhole(WholeAnswer):
    def __init__(self, call: Call, request: Inbound, cors: bytes, stall_s: float, collector: MessageCollector) -> None:
        super().__init__(call, request, cors, stall_s)
        self._message = collector

    def feed(self, batch: Batch) -> None:
        for event in batch:
            self._message.feed(event)

    def _body(self) -> bytes | None:
        return self._message.body(_ending(self._call))

    def _error_body(self, error: GatewayError) -> bytes:
        return error_body(error, self._call.id)

    def _head(self, used: Tokens | None) -> bytes:
        return super()._head(used) + _own_id(self._call.id)


class MessageStreamed(StreamAnswer):
    def __init__(
        self, call: Call, request: Inbound, cors: bytes, stall_s: float, grace_s: float, stream: MessageStream
    ) -> None:
        super().__init__(call, request, cors, stall_s, grace_s)
        self._message = stream

    def _wire(self, batch: Batch) -> bytes:
        return self._message.feed(batch)

    def _last(self) -> bytes:
        return self._message.end(_ending(self._call))

    def _error_event(self, error: GatewayError) -> bytes:
        return b"event: error\ndata: " + error_body(error, self._call.id) + b"\n\n"

    def _error_body(self, error: GatewayError) -> bytes:
        return error_body(error, self._call.id)

    def _head(self, used: Tokens | None) -> bytes:
        return super()._head(used) + _own_id(self._call.id)


def _ending(call: Call) -> Ending:
    return Ending(call.used(), call.stop_text)


def _own_id(request_id: str) -> bytes:
    """By the name that Anthropic's SDKs look for."""
    return b"request-id: %b\r\n" % request_id.encode()


def count_routes(keys: KeyRing, factory: CallFactory, counter: TokenCounter, settings: Server) -> APIRouter:
    router = APIRouter()

    @router.post(COUNT, include_in_schema=False)  # `describe` does it
    async def count_tokens(request: Request) -> Any:  # pyright: ignore[reportUnusedFunction]
        request_id = request.scope["state"]["request_id"]
        try:
            headers = dict[bytes, bytes](request.scope["headers"])
            key = await keys.identify(headers)
            check_content(headers, settings.max_body_bytes)
            call = factory.counted_message(await read_body(request, settings), key, request_id)
            counted = counter.count(call)
            return {"input_tokens": counted if isinstance(counted, int) else await counted}
        except GatewayError as error:
            named = {name.decode(): value.decode() for name, value in error_headers(error)}
            named["request-id"] = request_id
            return Response(error_body(error, request_id), error.status, named, media_type="application/json")

    return router
