"""Listens for changes of a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.stores.sql.store import SqlStore


class Ear:
    """`told` so often; the first time says that it listens."""

    def __init__(self) -> None:
        self.told = 0
        self.heard = asyncio.Event()

    def __call__(self) -> None:
        self.told += 1
        self.heard.set()

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.heard.wait(), 1.2)  # SQLite has been asked twice
        assert self.told == 1


@asynccontextmanager
async def listening(store: SqlStore) -> AsyncIterator[Ear]:
    ear = Ear()
    watching = asyncio.create_task(store.watch(ear))
    await ear.heard.wait()
    ear.heard.clear()
    yield ear
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
