"""Every refusal has OpenAI's shape, and the SDK raises the class that its users catch."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble, answer, error, raw
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, portico

CANARY = "canary-4711"
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "kind", "status", "code"),
    [
        (error(400, f"bad {CANARY!r}"), openai.BadRequestError, 400, None),
        (
            error(400, "This model's maximum context length is 4096 tokens. Your request has 5000 input tokens."),
            openai.BadRequestError,
            400,
            "context_length_exceeded",
        ),
        (error(400, "Input length (9068) exceeds model's maximum context length (8192)."), openai.BadRequestError, 400,
         "context_length_exceeded"),
        (error(400, "Invalid grammar specification: " + CANARY), openai.BadRequestError, 400, "invalid_value"),
        (error(422, f"bad {CANARY!r}"), openai.BadRequestError, 400, None),
        (error(401, CANARY), openai.InternalServerError, 502, "engine_error"),
        (error(403, CANARY), openai.InternalServerError, 502, "engine_error"),
        (error(404, CANARY), openai.InternalServerError, 502, "engine_error"),
        (error(429, CANARY), openai.InternalServerError, 503, "engine_overloaded"),
        (error(503, CANARY), openai.InternalServerError, 503, "engine_overloaded"),
        (error(500, CANARY), openai.InternalServerError, 502, "engine_error"),
        (error(500, body=b"<html>" + CANARY.encode()), openai.InternalServerError, 502, "engine_error"),
        (error(404, body=b'{"detail": "Not Found"}'), openai.InternalServerError, 502, "engine_error"),
        (error(400, body=b'{"detail": [{"input": "canary-4711"}]}'), openai.BadRequestError, 400, None),
        (error(400, body=b"\xff\xfe"), openai.BadRequestError, 400, None),
        (error(400, body=b"[]"), openai.BadRequestError, 400, None),
        (raw(JSON_HEAD % (11, CANARY.encode())), openai.InternalServerError, 502, "engine_error"),
        (raw(JSON_HEAD % (2, b"{}")), openai.InternalServerError, 502, "engine_error"),
        (raw(JSON_HEAD % (0, b"")), openai.InternalServerError, 502, "engine_error"),
        (raw(b"garbage " + CANARY.encode() + b"\r\n\r\n"), openai.InternalServerError, 502, "engine_error"),
        (raw(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"), openai.InternalServerError, 502,
         "engine_error"),
    ],
)  # fmt: skip
async def test_an_engines_errors_translated(
    script: Any, kind: type[openai.APIStatusError], status: int, code: str | None, stream: bool
) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        engine.plan(script)
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)  # type: ignore[call-overload]
        assert (caught.value.status_code, caught.value.code) == (status, code)
        assert caught.value.response.headers["x-request-id"].startswith("req_")
        assert CANARY not in caught.value.response.text
        assert CANARY not in gate.log_text()


async def test_what_the_engine_quotes_is_left_out() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for text in (
            f"Bad thing '{CANARY}' here",
            f'got "{CANARY}',
            f"value error, input_value={CANARY}, input_type=str",
        ):
            engine.plan(error(400, text))
            reply = await gate.chat()
            assert reply.status == 400
            assert CANARY not in reply.body.decode()


async def test_the_sdks_classes() -> None:
    async with EngineDouble() as engine, portico(engine, server={"max_body_bytes": 4096}) as gate, gate.sdk() as client:
        create: Any = client.chat.completions.create
        with pytest.raises(openai.NotFoundError):
            await create(model="nothing", messages=MESSAGES)
        with pytest.raises(openai.BadRequestError) as bad:
            await create(model=MODEL, messages=MESSAGES, extra_body={"ignore_eos": True})
        assert bad.value.param == "ignore_eos"
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-wrong").models.list()
        with pytest.raises(openai.NotFoundError):
            await client.images.generate(model=MODEL, prompt="a")
        with pytest.raises(openai.APIStatusError) as large:
            await create(model=MODEL, messages=[{"role": "user", "content": "x" * 20_000_000}])
        assert large.value.status_code == 413
        with pytest.raises(openai.APIStatusError) as media:
            await create(model=MODEL, messages=MESSAGES, extra_headers={"content-type": "text/plain"})
        assert media.value.status_code == 415


async def test_a_large_body_with_a_bad_key() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk(api_key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x" * 20_000_000}])


async def test_the_sync_client_too() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:

        def ask() -> None:
            with openai.OpenAI(base_url=gate.url, api_key="sk-wrong", max_retries=0) as client:
                with pytest.raises(openai.AuthenticationError):
                    client.models.list()
                with pytest.raises(openai.AuthenticationError):
                    client.chat.completions.create(model=MODEL, messages=MESSAGES)  # type: ignore[arg-type]

        await asyncio.to_thread(ask)


async def test_the_sdk_tries_again_when_told_to() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk(max_retries=2) as client:
        engine.plan(error(500), answer("good"))
        got = await client.chat.completions.create(model=MODEL, messages=MESSAGES)  # type: ignore[arg-type]
        assert got.choices[0].message.content == "good"
        engine.plan(error(400, "bad"))
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model=MODEL, messages=MESSAGES)  # type: ignore[arg-type]
        assert len(engine.calls) == 3


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("POST", "/v1/images/generations", 404, "unknown_url"),
        ("POST", "/tokenize", 404, "unknown_url"),
        ("GET", "/metrics", 404, "unknown_url"),
        ("POST", "/v1/chat/completions/render", 404, "unknown_url"),
        ("POST", "/v1/chat/completions/batch", 404, "unknown_url"),
        ("POST", "/v1/chat/completions/", 404, "unknown_url"),
        ("POST", "//v1/chat/completions", 404, "unknown_url"),
        ("GET", "/docs", 404, "unknown_url"),
        ("GET", "/", 404, "unknown_url"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", CHAT, 405, "method_not_allowed"),
        ("OPTIONS", CHAT, 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("DELETE", "/v1/models/gpt-oss-20b", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_routes(shared: Shared, method: str, path: str, status: int, code: str) -> None:
    reply = shared.request(method, path)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.headers["x-request-id"].startswith("req_")
    if status == 405:
        assert reply.headers["allow"] == ("POST" if path == CHAT else "GET")


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
)
def test_content_types(shared: Shared, kind: str) -> None:
    reply = shared.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, content_type=kind)
    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_good_content_types(shared: Shared, kind: str) -> None:
    assert shared.request("POST", CHAT, {"model": MODEL, "messages": MESSAGES}, content_type=kind).status == 200


def test_compressed_bodies(shared: Shared) -> None:
    reply = shared.request("POST", CHAT, b"\x1f\x8b", content_encoding="gzip")
    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")


class BrokenStage:
    ended = False

    def feed(self, batch: Any) -> Any:
        raise RuntimeError(CANARY)


def broken(call: Any) -> Any:
    raise RuntimeError(CANARY)


@pytest.mark.parametrize("stage", [broken, lambda call: BrokenStage()], ids=["made", "fed"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_bug_in_the_gateway_is_an_error_in_openais_shape(stage: Any, stream: bool) -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        gate.parts.gateway._stages = (stage,)
        reply = await gate.chat(stream=stream)
        assert (reply.status, reply.error["type"]) == (500, "server_error")
        assert reply.headers["x-request-id"].startswith("req_")
        (line,) = gate.log_lines()
        assert (line["status"], line["outcome"], line["id"]) == (500, "error", reply.headers["x-request-id"])
        lines = map(json.loads, gate.log_text().splitlines())
        (bug,) = [entry for entry in lines if entry["msg"].startswith("a bug")]
        assert (bug["exception"], bug["id"]) == ("RuntimeError", line["id"])
        assert CANARY not in gate.log_text() + reply.body.decode()
        assert gate.metric("portico_requests_total", model=MODEL, endpoint="chat.completions", outcome="error") == 1
        assert gate.parts.engines["one"].in_flight == 0
        assert gate.parts.gateway.trips == set()
