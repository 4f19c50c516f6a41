"""Who may call, and how early the others are turned away."""

from __future__ import annotations

import asyncio

import pytest

from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import CHAT, KEY, MESSAGES, MODEL, portico
from tests.behaviour.wire import Wire

BODY = {"model": MODEL, "messages": MESSAGES}
GOOD = [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY} "}, {"x_api_key": KEY}]
BAD = [
    {},
    {"authorization": "Bearer sk-wrong"},
    {"authorization": "Bearer "},
    {"authorization": KEY},
    {"authorization": f"Basic {KEY}"},
    {"authorization": f"Bearer {KEY}x"},
    {"authorization": f"Bearer {KEY[:-1]}"},
    {"authorization": "Bearer " + "x" * 5000},
    {"authorization": "Bearer \xff\xfe"},
    {"x_api_key": ""},
    {"x_api_key": "sk-wrong"},
]


@pytest.mark.parametrize("headers", GOOD)
@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), ("GET", f"/v1/models/{MODEL}")])
def test_good(shared: Shared, headers: dict[str, str], method: str, path: str) -> None:
    assert shared.request(method, path, BODY if method == "POST" else None, None, **headers).status == 200


@pytest.mark.parametrize("headers", BAD)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", CHAT), ("POST", "/v1/completions"), ("GET", "/v1/models"), ("GET", f"/v1/models/{MODEL}")],
)
def test_bad(shared: Shared, headers: dict[str, str], method: str, path: str) -> None:
    reply = shared.request(method, path, BODY if method == "POST" else None, None, **headers)
    assert (reply.status, reply.error["code"], reply.error["type"]) == (401, "invalid_api_key", "invalid_request_error")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert "sk-wrong" not in reply.body.decode()


async def test_refused_before_the_body_is_read() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        for path in (CHAT, "/v1/completions"):
            async with Wire(gate.port) as wire:
                await wire.request("POST", path, key="sk-wrong", content_length="9000000")
                reply = await asyncio.wait_for(wire.reply(), 1)
                assert reply.status == 401
        async with Wire(gate.port) as wire:  # before its size is looked at, too
            await wire.request("POST", CHAT, key=None, content_length="99999999999")
            assert (await wire.reply()).status == 401
        async with Wire(gate.port) as wire:
            await wire.request("POST", CHAT, content_length="99999999999")
            assert (await wire.reply()).status == 413


async def test_mode_none() -> None:
    async with EngineDouble() as engine, portico(engine, auth={"mode": "none", "static_keys": []}) as gate:
        assert (await gate.request("POST", CHAT, BODY, None)).status == 200
        assert (await gate.request("GET", "/v1/models", key="anything")).status == 200
        assert gate.log_lines()[0]["key"] == "anonymous"
