"""What requests wait for before they become calls."""

from __future__ import annotations

import asyncio

import pytest

from server import lookups
from server.errors import StoreUnavailable
from server.lookups import Lookups


async def test_each_is_told_what_came_of_it() -> None:
    found: list[int | Exception] = []

    async def works(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    several = Lookups("numbers")
    for number in (1, 2, 3):
        several.begin(works(number), found.append)
    assert found == []  # always later
    await asyncio.sleep(0.01)
    assert [one if isinstance(one, int) else str(one) for one in found] == [1, "two", 3]


async def test_not_too_many_wait_and_none_outlives_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MOST", 1)
    found: list[Exception | None] = []
    several = Lookups("numbers")
    several.begin(asyncio.sleep(3600), found.append)
    with pytest.raises(StoreUnavailable, match="Too many numbers"):
        several.begin(asyncio.sleep(0), found.append)
    await asyncio.sleep(0)
    await several.stop()
    assert found == []
    several.begin(asyncio.sleep(0), found.append)
    await asyncio.sleep(0.01)
    assert found == [None]
