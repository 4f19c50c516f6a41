"""Every answer of a test, as the bytes that came, checked against OpenAI's schemas when the test is over.

The SDK's own models would hide what is wrong (they accept almost anything), so its transport is wrapped and what
passes through is kept.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.openai_schema import validator

RESPONSES = "/v1/responses"
CHAT, TEXT, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"
WHOLE = {CHAT: "CreateChatCompletionResponse", TEXT: "CreateCompletionResponse", MODELS: "ListModelsResponse"}
CHUNK = {CHAT: "CreateChatCompletionStreamResponse", TEXT: "CreateCompletionStreamResponse"}
HEADERS = ("x-request-id", "openai-processing-ms", "openai-version")
ANSWER_KEYS = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
CHOICE_KEYS = {"index", "message", "delta", "text", "logprobs", "finish_reason"}
MESSAGE_KEYS = {"role", "content", "refusal", "reasoning", "reasoning_content", "tool_calls", "annotations"}


@dataclass
class Exchange:
    path: str
    asked: Any  # the parsed request body
    status: int
    headers: httpx2.Headers
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False  # the client read it to its end

    @property
    def chunks(self) -> list[Any]:
        """The payloads of a stream, less its [DONE]."""
        return [json.loads(one) for one in self.payloads if one != b"[DONE]"]

    @property
    def payloads(self) -> list[bytes]:
        events = bytes(self.body).split(b"\n\n")[:-1]
        return [event.removeprefix(b"data: ") for event in events if event.startswith(b"data: ")]

    def check(self) -> None:
        """Raises AssertionError."""
        assert not [name for name in HEADERS if name not in self.headers], f"{self.path}: headers {self.headers}"
        if self.headers["content-type"].startswith("text/event-stream"):
            self._check_stream()
        elif self.complete and self.headers["content-type"].startswith("application/json"):  # a file is what it is
            answer = json.loads(bytes(self.body))
            if self.status >= 400:
                check_error(answer)
            elif self.path == RESPONSES:
                validator("Response")(answer)
            elif name := WHOLE.get(self.path):
                validator(name)(answer)
                if self.path != MODELS:
                    check_keys(answer)
                    assert answer["usage"], "usage always comes"
            elif self.path.startswith(MODELS):
                validator("Model")(answer)

    def _check_events(self) -> None:
        """Of a response."""
        lines = [line for line in bytes(self.body).split(b"\n") if line.startswith(b"data: ")]
        for line in lines:
            validator("ResponseStreamEvent")(json.loads(line.removeprefix(b"data: ")))
        assert lines or not self.complete

    def _check_stream(self) -> None:
        if self.path.startswith(RESPONSES):
            self._check_events()
            return
        chunks = self.chunks
        for chunk in chunks:
            if "error" in chunk:
                check_error(chunk)
                assert chunk is chunks[-1], "an error event ends the stream"
                return
            validator(CHUNK[self.path])(chunk)
            check_keys(chunk)
            assert (chunk["id"], chunk["model"], chunk["created"]) == tuple(
                chunks[0][key] for key in ("id", "model", "created")
            )
        if self.complete:
            assert self.payloads[-1] == b"[DONE]", f"a stream that ends with {self.payloads[-1:]}"
            options = self.asked.get("stream_options") or {}
            with_usage = [chunk for chunk in chunks if chunk.get("usage")]
            assert len(with_usage) == (1 if options.get("include_usage") else 0)
            if with_usage:
                assert with_usage[0] is chunks[-1]
                assert with_usage[0]["choices"] == []


def check_keys(answer: dict[str, Any]) -> None:
    """Nothing of the engine's own is in an answer."""
    assert set(answer) <= ANSWER_KEYS, set(answer) - ANSWER_KEYS
    for choice in answer["choices"]:
        assert set(choice) <= CHOICE_KEYS, set(choice) - CHOICE_KEYS
        message = choice.get("message") or choice.get("delta") or {}
        assert set(message) <= MESSAGE_KEYS, set(message) - MESSAGE_KEYS


def check_error(answer: Any) -> None:
    validator("ErrorResponse")(answer)
    assert set(answer) == {"error"}
    error = answer["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] is None or isinstance(error["code"], str)


class Wire:
    """The exchanges of one test."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    @property
    def last(self) -> Exchange:
        return self.exchanges[-1]

    def begin(self, request: httpx2.Request, response: httpx2.Response) -> Exchange:
        is_json = request.headers.get("content-type", "").startswith("application/json")  # a form is read as it goes
        body = request.content if is_json else b""
        asked = json.loads(body) if body else None
        exchange = Exchange(request.url.path, asked, response.status_code, response.headers)
        self.exchanges.append(exchange)
        return exchange

    def check(self) -> None:
        for exchange in self.exchanges:
            exchange.check()


class _Tee(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        for data in self._stream:
            self._exchange.body += data
            yield data
        self._exchange.complete = True

    def close(self) -> None:
        self._stream.close()


class _AsyncTee(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            self._exchange.body += data
            yield data
        self._exchange.complete = True

    async def aclose(self) -> None:
        await self._stream.aclose()


class Transport(httpx2.HTTPTransport):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Tee(response.stream, self._wire.begin(request, response))
        return response


class AsyncTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _AsyncTee(response.stream, self._wire.begin(request, response))
        return response
