"""Responses and conversations for the suites of their stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from server.stores.aes_gcm import AesGcm
from server.stores.responses import ConversationRecord, Item, ResponseRecord
from server.stores.sealing import Sealing
from server.stores.sql.database import Database
from server.stores.sql.opening import open_durable
from server.stores.sql.place import place_of
from server.stores.sql.store import SqlStore
from tests.services.durable import Backend

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # 32 bytes
OTHER_KEY = "//////////////////////////////////////////8="
T = 1_795_842_000  # Unix seconds
P = "proj_1"


def an_item(name: str, text: str = "a word") -> Item:
    return Item(name, msgspec.json.encode({"id": name, "type": "message", "text": text}))


def some_items(first: int, end: int, prefix: str = "msg_") -> list[Item]:
    return [an_item(f"{prefix}{number}") for number in range(first, end)]


def a_response(name: str = "resp_1", **fields: Any) -> ResponseRecord:
    made = ResponseRecord(
        id=name,
        project_id=P,
        key_id="key_1",
        created_at=T,
        status="completed",
        model="gpt-oss-20b",
        body=b'{"id":"%b","output":[]}' % name.encode(),
    )
    return msgspec.structs.replace(made, **fields)


def a_conversation(name: str = "conv_1", **fields: Any) -> ConversationRecord:
    return msgspec.structs.replace(ConversationRecord(name, P, T, {"topic": "灯笼"}), **fields)


def ids(items: list[Item]) -> list[str]:
    return [one.id for one in items]


@asynccontextmanager
async def opened(
    backend: Backend, clock: Callable[[], float] = lambda: T, sealing: Sealing | None = None
) -> AsyncIterator[SqlStore]:
    """A migrated database, at a time of the test's choice."""
    await (await open_durable(backend.url, backend.home)).close()
    database = Database(place_of(backend.url, backend.home))
    store = SqlStore(database, clock, *([] if sealing is None else [sealing]))
    try:
        yield store
    finally:
        await store.close()


SEALINGS: dict[str, Sealing | None] = {"plain": None, "sealed": AesGcm(KEY)}
