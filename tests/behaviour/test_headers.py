"""What every answer carries, good or bad."""

from __future__ import annotations

import re

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import CHAT, MESSAGES, MODEL, portico
from tests.behaviour.wire import Reply

BODY = {"model": MODEL, "messages": MESSAGES}
ASKED = [
    ("POST", CHAT, BODY),
    ("POST", CHAT, BODY | {"stream": True}),
    ("POST", CHAT, {"model": "x"}),
    ("POST", CHAT, b"{"),
    ("GET", CHAT, None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/x", None),
    ("GET", "/nothing", None),
    ("GET", "/healthz", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ASKED)
def test_on_every_answer(shared: Shared, method: str, path: str, body: object) -> None:
    reply: Reply = shared.request(method, path, body, X_Client_Request_Id="my-id_1.2")
    assert re.fullmatch("req_[0-9a-f]{32}", reply.headers["x-request-id"])
    assert reply.headers["x-client-request-id"] == "my-id_1.2"
    assert 0 <= int(reply.headers["openai-processing-ms"]) < 5000
    assert reply.headers["openai-version"] == "2020-10-01"
    assert "server" not in reply.headers


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "<script>", "a\tb", "é"])
def test_an_unsafe_id_is_not_repeated(shared: Shared, sent: str) -> None:
    reply = shared.request("POST", CHAT, BODY, x_request_id=sent)
    assert reply.status == 200
    assert "x-client-request-id" not in reply.headers


def test_streams(shared: Shared) -> None:
    headers = shared.chat(stream=True).headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert "content-length" not in headers


async def test_cors() -> None:
    origin = "https://app.example"
    preflight = {"origin": origin, "access_control_request_method": "POST"}
    preflight["access_control_request_headers"] = "authorization,content-type,x-stainless-lang"
    async with EngineDouble() as engine, portico(engine) as gate:
        assert (await gate.request("OPTIONS", CHAT, key=None, **preflight)).status == 405
        reply = await gate.request("POST", CHAT, BODY, origin=origin)
        assert not [name for name in reply.headers if name.startswith("access-control")]
    async with EngineDouble() as engine, portico(engine, server={"cors_origins": [origin]}) as gate:
        reply = await gate.request("OPTIONS", CHAT, key=None, **preflight)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, origin)
        for path, key in ((CHAT, "sk-wrong"), ("/v1/models", None)):
            reply = await gate.request("GET" if key is None else "POST", path, None, key, origin=origin)
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (401, origin)
        reply = await gate.request("POST", CHAT, BODY | {"stream": True}, origin=origin)
        assert (reply.text(), reply.headers["access-control-allow-origin"]) == ("Hello there, friend.", origin)
        assert "x-request-id" in reply.headers["access-control-expose-headers"]
        reply = await gate.request("OPTIONS", CHAT, key=None, **preflight | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in reply.headers
