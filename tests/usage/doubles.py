"""A ledger in memory that can be down, slow, of two minds or choosy; and records and calls to give it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from server.call import Call, Key, Project, ServedModel, Tokens
from server.config import Model, Price
from server.stores.base import StoreDown, StoreError
from server.stores.records import UsageRecord


class LedgerDouble:
    """Keeps what it is given once by call id, in the order of its coming, and counts how often it was asked."""

    def __init__(self) -> None:
        self.records: dict[str, UsageRecord] = {}
        self.asked = 0
        self.offered = 0
        self.down = False
        self.hangs = False
        self.fails_after_commit = 0  # so many times: the records are there, and the answer is lost
        self.refuses: Callable[[UsageRecord], bool] = lambda record: False
        self._changed = asyncio.Condition()

    async def add_usage(self, records: Sequence[UsageRecord]) -> None:
        self.asked += 1
        self.offered += len(records)
        try:
            await self._add(records)
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _add(self, records: Sequence[UsageRecord]) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise StoreDown("the database is away")
        if any(map(self.refuses, records)):
            raise StoreError("the database refused: a value is out of range")
        for record in records:
            self.records.setdefault(record.call_id, record)
        if self.fails_after_commit:
            self.fails_after_commit -= 1
            raise StoreDown("the connection was lost")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until `condition` holds after somebody asked."""
        async with self._changed:
            await self._changed.wait_for(condition)

    async def usage(self, **_: Any) -> Any:
        raise NotImplementedError


def record(number: int, outcome: str = "ok", **fields: Any) -> UsageRecord:
    return UsageRecord(
        f"req_{number:032x}", 1e9 + number, "proj_1", "key_1", "m", "completions", "standard", outcome, 200, **fields
    )


def ids(numbers: Sequence[int] | range) -> list[str]:
    return [record(number).call_id for number in numbers]


def call(number: int = 1, price: Price | None = None, **fields: Any) -> Call:
    model = ServedModel("m", Model(engines=("e",), price=price or Price(input=2, cached_input=1, output=10)), 1)
    key = Key("key_1", "k", Project("proj_1", "one"))
    facts = {"received": 1.0, "dispatched": 1.5, "finished": 3.0, "status": 200, "tokens": Tokens(100, 20, 40, 5)}
    return Call(
        f"req_{number:032x}", "completions", key, model, None, stream=True, include_usage=False, **{**facts, **fields}
    )
