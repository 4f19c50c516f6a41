"""POST /v1/messages and /v1/messages/count_tokens: Anthropic's shape, and the way of a chat completion."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from fastapi import APIRouter, Request

from server.anthropic.answer import MessageCollector, MessageStream
from server.anthropic.errors import error_body
from server.anthropic.signature import Signer
from server.api.answer import Answers, StreamAnswer, WholeAnswer
from server.api.calls import CallFactory
from server.api.failures import error_response
from server.api.inbound import Inbound
from server.api.plain import read_body
from server.auth.keys import KeyRing
from server.call import Call
from server.config import Server
from server.errors import GatewayError
from server.openai.events import Batch

COUNT = "/v1/messages/count_tokens"


class TokenCounter(Protocol):
    def count(self, call: Call) -> int | Awaitable[int]: ...


class MessageAnswers(Answers):
    """`signer` signs the thinking that leaves."""

    error_body = staticmethod(error_body)

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def of(
        self, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float
    ) -> WholeAnswer | StreamAnswer:
        more += self.head(call.id)
        if call.stream:
            return MessageStreamed(call, request, more, stall_s, grace_s, MessageStream(call, self._signer))
        return MessageWhole(call, request, more, stall_s, MessageCollector(call, self._signer))

    def head(self, request_id: str) -> bytes:
        """The id by the name that Anthropic's SDKs look for."""
        return b"request-id: %b\r\n" % request_id.encode()


class MessageWhole(WholeAnswer):
    error_body = staticmethod(error_body)


class MessageStreamed(StreamAnswer):
    error_body = staticmethod(error_body)

    def __init__(
        self, call: Call, request: Inbound, more: bytes, stall_s: float, grace_s: float, stream: MessageStream
    ) -> None:
        super().__init__(call, request, more, stall_s, grace_s)
        self._message = stream

    def _wire(self, batch: Batch) -> bytes:
        return self._message.feed(batch)

    def _last(self) -> bytes:
        return self._message.end()

    def _error_event(self, error: GatewayError) -> bytes:
        return b"event: error\ndata: " + error_body(error, self._call.id) + b"\n\n"


def count_routes(keys: KeyRing, factory: CallFactory, counter: TokenCounter, settings: Server) -> APIRouter:
    router = APIRouter()

    @router.post(COUNT, include_in_schema=False)  # `describe` does it
    async def count_tokens(request: Request) -> Any:  # pyright: ignore[reportUnusedFunction]
        request_id = request.scope["state"]["request_id"]
        try:
            key = await keys.identify(dict[bytes, bytes](request.scope["headers"]))
            call = factory.counted_message(await read_body(request, settings), key, request_id)
            counted = counter.count(call)
            return {"input_tokens": counted if isinstance(counted, int) else await counted}
        except GatewayError as error:
            return error_response(error, error_body(error, request_id), {"request-id": request_id})

    return router
