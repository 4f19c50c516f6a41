"""A flood of keys that are none: no row, no memory, and who has a key is served."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from server.auth.secrets import new_secret, tag_key
from tests.behaviour.engine_double import EngineDouble
from tests.behaviour.processes import Served, serve
from tests.behaviour.serving import CHAT, MESSAGES, MODEL
from tests.behaviour.tenant_processes import new_key

CONNECTIONS, BATCHES, BATCH = 100, 1, 20  # 2,000 requests, refused at their pace
MOST_BYTES = 10_000_000
BODY = json.dumps({"model": MODEL, "messages": MESSAGES}).encode()


def wrong_keys(count: int) -> Iterator[str]:
    """Well-formed ones, made with another server's secret, and others."""
    tags = tag_key(secrets.token_bytes(32))
    for number in range(count):
        yield new_secret("key", tags).secret if number % 2 else f"sk-{secrets.token_hex(24)}"


async def flood(port: int, requests: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    for request in requests:
        writer.write(request)
        for _ in range(BATCH):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 "), head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
    writer.close()


def batches(count: int) -> list[bytes]:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n"
    ready = [f"{head}authorization: Bearer {key}\r\n\r\n".encode() + BODY for key in wrong_keys(count * BATCH)]
    return [b"".join(ready[at : at + BATCH]) for at in range(0, len(ready), BATCH)]


def resident(served: Served) -> int:
    """Bytes of the worker."""
    (worker,) = served.workers()
    pages = Path(f"/proc/{worker}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def table_sizes(served: Served) -> list[int]:
    with closing(sqlite3.connect(served.home / "var/portico.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in sorted(tables)]


async def test_a_flood_of_wrong_keys(tmp_path: Path) -> None:
    async with EngineDouble() as engine, serve(engine, tmp_path, logging={"requests": False}) as served:
        key, _ = await new_key(served)

        async def valid(over: asyncio.Event) -> int:
            calls = 0
            while not over.is_set():
                assert (await served.chat(key)).status == 200
                calls += 1
                await asyncio.sleep(0.05)  # what usage of many calls takes up is not what is measured
            return calls

        async def round_() -> int:
            """The good calls that were answered meanwhile."""
            over = asyncio.Event()
            meanwhile = asyncio.create_task(valid(over))
            await asyncio.gather(*(flood(served.port, requests) for requests in ready))
            over.set()
            return await meanwhile

        ready = [batches(BATCHES) for _ in range(CONNECTIONS)]
        await round_()  # the buffers that any load needs
        before, sizes = resident(served), table_sizes(served)
        calls = await round_()
        assert calls > 0
        assert resident(served) - before < MOST_BYTES
        assert sum(table_sizes(served)) - sum(sizes) <= 2 * calls + 3, "usage of the good calls"
        assert await served.end() == 0
