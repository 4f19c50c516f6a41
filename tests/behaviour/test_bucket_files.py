"""Files and batches with their contents in a bucket of a real S3-compatible server."""

from __future__ import annotations

import asyncio
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest

from server.stores.base import StoreDown
from server.stores.bucket import PART_BYTES, Bucket
from server.stores.bucket_contents import BucketContents
from tests.behaviour.batches import all_results, chat_line, created, names, until
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.processes import serve
from tests.behaviour.serving import eventually, portico
from tests.behaviour.test_batch_processes import LINES, NUMBER, check, client_of, paced
from tests.services.postgres import running
from tests.services.s3 import S3Server, environment_of, s3_server

__all__ = ["s3_server"]

BIG = os.urandom(3 * PART_BYTES + 5)


@pytest.fixture
def storage(s3_server: S3Server) -> Iterator[str]:
    with environment_of(s3_server):
        yield s3_server.bucket()


async def test_files_go_both_ways(storage: str, s3_server: S3Server) -> None:
    async with EngineDouble() as engine, portico(engine, files={"storage": storage}) as gate, gate.sdk() as client:
        file = await client.files.create(file=("big.bin", BIG), purpose="user_data")
        assert (file.bytes, s3_server.keys(storage)) == (len(BIG), [f"content/{file.id}"])
        assert (await client.files.content(file.id)).content == BIG
        await client.files.delete(file.id)
        assert s3_server.keys(storage) == []
        assert (await gate.request("GET", f"/v1/files/{file.id}/content")).status == 404
        assert gate.metric("portico_store_up", store="files") == 1


async def test_a_batch_from_upload_to_output(storage: str, s3_server: S3Server) -> None:
    async with EngineDouble() as engine, portico(engine, files={"storage": storage}) as gate, gate.sdk() as client:
        lines = [chat_line(f"r{at}") for at in range(20)]
        batch = await until(client, (await created(client, lines)).id, "completed")
        assert names(await all_results(client, batch)) == sorted(f"r{at}" for at in range(20))
        assert len(engine.calls) == 20
        left = s3_server.keys(storage)
        assert left == sorted(f"content/{one}" for one in (batch.input_file_id, batch.output_file_id)), "no journal"


async def test_a_bucket_that_goes_amid_a_download(tmp_path: Path) -> None:
    server = S3Server(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        with environment_of(server):
            files = {"storage": server.bucket()}
            async with EngineDouble() as engine, portico(engine, files=files) as gate, gate.sdk() as client:
                file = await client.files.create(file=("big.bin", BIG), purpose="user_data")
                with pytest.raises(httpx2.RemoteProtocolError, match="peer closed"):
                    async with client.files.with_streaming_response.content(file.id) as reply:
                        async for part in reply.iter_bytes():
                            assert part
                            server.stop()
                await eventually(lambda: "the content of a file is broken off" in gate.log_text())
                assert "a bug in the gateway" not in gate.log_text()
    finally:
        server.stop()


async def test_a_bucket_that_cannot_be_reached(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    async with EngineDouble() as engine, portico(engine, files={"storage": storage}) as gate:
        await eventually(lambda: "files cannot be kept" in gate.log_text())
        assert gate.metric("portico_store_up", store="files") == 0
        form = {"content-type": "multipart/form-data; boundary=x"}
        part = b'--x\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        body = part % (b"purpose", b"", b"batch") + part % (b"file", b'; filename="a"', b"{}") + b"--x--\r\n"
        reply = await gate.request("POST", "/v1/files", body, **form)
        assert (reply.status, reply.error["code"]) == (503, "store_unavailable")
        assert (await gate.request("GET", "/v1/files")).json["data"] == []
        assert (await gate.chat()).status == 200, "nothing else is concerned"
        assert "secret-of-the-tests" not in gate.log_text()


@contextmanager
def failing_parts(server: S3Server) -> Iterator[str]:
    """A way to `server` on which the second part of every upload is refused."""

    class Way(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            if "partNumber=2" in self.path:
                self._tell(403, b"<Error><Code>AccessDenied</Code></Error>", {})
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            asked = urllib.request.Request(
                f"http://127.0.0.1:{server.port}{self.path}", body or None, headers, method=self.command
            )
            try:
                with urllib.request.urlopen(asked, timeout=20) as reply:
                    self._tell(reply.status, reply.read(), dict(reply.headers))
            except urllib.error.HTTPError as error:
                self._tell(error.code, error.read(), dict(error.headers))

        def _tell(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() in ("etag", "content-type", "last-modified"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nowhere."""

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    way = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    thread = Thread(target=way.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{way.server_port}"
    finally:
        way.shutdown()
        way.server_close()
        thread.join(5)


async def test_an_upload_that_fails_half_way_is_taken_back(
    storage: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing_parts(s3_server) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        contents = BucketContents(Bucket(storage, tries=0), tmp_path)
        place = tmp_path / "made"
        place.write_bytes(BIG)
        with pytest.raises(StoreDown, match="refuses the credentials"):
            await contents.put(place, "file-ab")
        assert place.exists()
        assert (await asyncio.to_thread(s3_server.uploads, storage), s3_server.keys(storage)) == (0, [])
        s3_server.request("POST", f"{storage.removeprefix('s3://').partition('/')[0]}/another?uploads")
        assert s3_server.uploads(storage) == 1, "one that nobody takes back would be seen"


async def test_who_leaves_an_upload_leaves_nothing_half(storage: str, s3_server: S3Server, tmp_path: Path) -> None:
    contents = BucketContents(Bucket(storage), tmp_path)
    place = tmp_path / "made"
    place.write_bytes(BIG)
    putting = asyncio.create_task(contents.put(place, "file-ab"))
    await asyncio.sleep(0.02)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await asyncio.to_thread(s3_server.uploads, storage) == 0
    assert s3_server.keys(storage) in ([], ["content/file-ab"])


async def test_another_machine_goes_on_where_one_was_killed(storage: str, s3_server: S3Server, tmp_path: Path) -> None:
    """They share a database and a bucket, and no disk."""
    with running() as postgres:
        database = postgres.new_database()
        url = postgres.url(database)
        shared: dict[str, Any] = {"stores": {"durable": url}, "files": {"storage": storage}}
        shared["batches"] = {"max_in_flight": 4}
        async with EngineDouble() as engine:
            engine.always = paced()
            async with serve(engine, tmp_path / "one", **shared) as one, client_of(one) as client:
                batch = await created(client, LINES)
                await eventually(lambda: len(engine.calls) >= 20)
                for pid in (one.process.pid, *one.workers()):
                    os.kill(pid, signal.SIGKILL)
                await one.process.wait()
            done = len(engine.calls)
            await asyncio.to_thread(postgres.sql, "UPDATE batches SET owned_until = 0", database)
            async with serve(engine, tmp_path / "two", **shared) as two, client_of(two) as client:
                batch = await until(client, batch.id, "completed", within_s=30)
                check(await all_results(client, batch))
                assert len(engine.calls) <= NUMBER + 8, "what had a result was not asked again"
                assert done < NUMBER
                assert await two.end() == 0
        assert [one for one in s3_server.keys(storage) if not one.startswith("content/")] == []
