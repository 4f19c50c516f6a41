"""Files of the whole app: through OpenAI's SDK, and on the wire where that would not go wrong."""

from __future__ import annotations

import asyncio
from time import time
from typing import Any

import openai
import pytest

from server.config import Limit
from tests.behaviour.conftest import Shared
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.serving import KEY, Gate, eventually, portico
from tests.behaviour.tenants import Tenants
from tests.openai_schema import validator

FORM = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
FORM += b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
KIND = {"content_type": "multipart/form-data; boundary=b"}


async def test_the_life_of_a_file() -> None:
    content = bytes(range(256)) * 8000  # more than is read or written at once
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        made = await client.files.create(file=("データ.bin", content), purpose="user_data")
        assert (made.filename, made.bytes, made.purpose, made.expires_at) == (
            "データ.bin",
            len(content),
            "user_data",
            None,
        )
        assert (await client.files.content(made.id)).content == content
        assert await client.files.retrieve(made.id) == made
        assert [one.id async for one in client.files.list()] == [made.id]
        assert (await client.files.delete(made.id)).deleted
        for call in (client.files.retrieve, client.files.content, client.files.delete):
            with pytest.raises(openai.NotFoundError):
                await call(made.id)
        assert [one.id async for one in client.files.list()] == []


async def test_answers_are_in_openais_shape() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        made = await client.files.create(
            file=("a", b"x"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        assert made.expires_at == made.created_at + 3600
        one, several = await gate.request("GET", f"/v1/files/{made.id}"), await gate.request("GET", "/v1/files")
        validator("OpenAIFile")(one.json)
        validator("ListFilesResponse")(several.json)
        assert one.headers["x-request-id"].startswith("req_")
        validator("DeleteFileResponse")((await gate.request("DELETE", f"/v1/files/{made.id}")).json)


async def test_files_for_batches_go_by_themselves() -> None:
    async with EngineDouble() as engine, portico(engine, files={"expires_days": 2}) as gate, gate.sdk() as client:
        made = await client.files.create(file=("a", b"x"), purpose="batch")
        assert made.expires_at == made.created_at + 2 * 86_400


async def test_lists() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        purposes: list[Any] = ["batch", "user_data"] * 3
        ids = [(await client.files.create(file=("a", b"x"), purpose=purpose)).id for purpose in purposes]
        assert [one.id async for one in client.files.list(limit=2)] == ids[::-1]
        assert [one.id async for one in client.files.list(limit=2, order="asc")] == ids
        assert [one.id async for one in client.files.list(purpose="batch", order="asc")] == ids[::2]
        page = await client.files.list(limit=2, after=ids[4], order="desc")
        assert [one.id for one in page.data] == [ids[3], ids[2]] and page.has_more
        for query in ("limit=0", "limit=10001", "order=up", "colour=red"):
            reply = await gate.request("GET", f"/v1/files?{query}")
            assert (reply.status, reply.error["param"]) == (400, query.partition("=")[0])
        assert (await gate.request("GET", "/v1/files?after=%00")).status == 400


async def test_another_project_does_not_see_them() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        made = await client.files.create(file=("a", b"x"), purpose="user_data")
        secret, _ = await Tenants(gate).key()
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            reply = await gate.request(method, f"/v1/files/{made.id}{path}", key=secret)
            assert (reply.status, reply.error["code"]) == (404, "not_found")
        assert (await gate.request("GET", "/v1/files", key=secret)).json["data"] == []
        assert (await client.files.content(made.id)).content == b"x"


async def test_who_may_not() -> None:
    async with EngineDouble() as engine, portico(engine) as gate:
        assert (await gate.request("GET", "/v1/files", key=None)).status == 401
        assert (await gate.request("GET", "/v1/files", key="sk-wrong")).status == 401
        secret, _ = await Tenants(gate).key(endpoints=("chat.completions",))
        assert (await gate.request("GET", "/v1/files", key=secret)).status == 403
        secret, _ = await Tenants(gate).key(endpoints=("files",), limits=Limit(requests_per_minute=1))
        assert (await gate.request("GET", "/v1/files", key=secret)).status == 200


@pytest.mark.parametrize("purpose", ["assistants", "fine-tune", "vision", "evals"])
async def test_purposes_that_are_not_served(shared: Shared, purpose: Any) -> None:
    async def ask() -> None:
        async with shared.gate.sdk() as client:
            with pytest.raises(openai.BadRequestError, match="batch, user_data") as refused:
                await client.files.create(file=("a", b"x"), purpose=purpose)
            assert refused.value.param == "purpose"

    shared.run(ask())


def test_what_is_no_upload(shared: Shared) -> None:
    for headers, body, status in (
        ({"content_type": "application/json"}, b"{}", 415),
        (KIND, b"", 400),
        (KIND, FORM + b"cut", 400),
        ({"content_type": "multipart/form-data"}, FORM, 415),
    ):
        reply = shared.request("POST", "/v1/files", body, **headers)
        assert reply.status == status and reply.error["message"], reply.body
    assert shared.request("PUT", "/v1/files", b"").status == 405


async def kept(gate: Gate) -> list[str]:
    return [one["id"] for one in (await gate.request("GET", "/v1/files")).json["data"]]


async def test_bounds() -> None:
    bounds = {"max_file_bytes": 2000, "max_project_bytes": 3000, "max_project_files": 3}
    async with EngineDouble() as engine, portico(engine, files=bounds) as gate, gate.sdk() as client:
        for size in (2001, 200_000):
            with pytest.raises(openai.APIStatusError, match="larger than 2000") as refused:
                await client.files.create(file=("a", b"x" * size), purpose="batch")
            assert refused.value.status_code == 413
        await client.files.create(file=("a", b"x" * 2000), purpose="batch")
        with pytest.raises(openai.BadRequestError, match="of 3000 that they may take") as over:
            await client.files.create(file=("a", b"x" * 1001), purpose="batch")
        assert over.value.code == "file_limit_exceeded"
        for _ in range(2):
            await client.files.create(file=("a", b"x"), purpose="batch")
        with pytest.raises(openai.BadRequestError, match="3 files"):
            await client.files.create(file=("a", b"x"), purpose="batch")
        assert len(await kept(gate)) == 3


async def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("server.files.library._append", full)
        with pytest.raises(openai.InternalServerError, match="no room left") as refused:
            await client.files.create(file=("a", b"x"), purpose="batch")
        assert (refused.value.status_code, refused.value.code) == (507, "storage_full")
        assert refused.value.response.headers["x-should-retry"] == "false"
        assert await kept(gate) == []


async def test_a_client_that_leaves_in_its_upload_leaves_nothing() -> None:
    async with EngineDouble() as engine, portico(engine, server={"client_timeout_s": 0.3}) as gate:
        head = f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        head += "content-type: multipart/form-data; boundary=b\r\ncontent-length: 9999\r\n\r\n"
        for leaves in (True, False):
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(head.encode() + FORM + b"some")
            await writer.drain()
            await asyncio.sleep(0.05)
            if leaves:
                writer.close()
            else:
                assert b"408" in await asyncio.wait_for(reader.readline(), 5)
        assert await kept(gate) == []


async def test_what_is_removed_with_its_time() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        made = await client.files.create(file=("a", b"x"), purpose="user_data")
        store = gate.parts.durable
        record = await store.file("default", made.id)
        await store.delete_file("default", made.id)
        await store.add_file(type(record)(made.id, "default", "user_data", "a", 1, int(time()) - 9, int(time()) - 1))
        with pytest.raises(openai.NotFoundError):
            await client.files.content(made.id)


async def test_requests_are_counted_and_logged_by_the_name_of_their_endpoint() -> None:
    async with EngineDouble() as engine, portico(engine) as gate, gate.sdk() as client:
        made = await client.files.create(file=("secret-name", b"secret-content"), purpose="user_data")
        await client.files.content(made.id)
        await eventually(lambda: gate.total("portico_requests_total", endpoint="files", outcome="ok") == 2)
        assert [line["endpoint"] for line in gate.log_lines()] == ["files", "files"]
        assert "secret" not in gate.log_text()
