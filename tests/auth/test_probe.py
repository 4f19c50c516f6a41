"""What the probe of the directory tells."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from server.auth import probe
from server.auth.probe import SOON_S, DirectoryProbe
from server.stores.base import Directory, StoreDown
from tests.behaviour.serving import eventually


class Keys:
    """`fails` in place of an answer."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.asked: list[int] = []

    async def expiring_keys(self, after: int, until: int) -> int:
        self.asked.append(until - after)
        if self.fails is not None:
            raise self.fails
        return 3


def probing(keys: Keys) -> tuple[DirectoryProbe, list[Any]]:
    told: list[Any] = []
    return DirectoryProbe(cast(Directory, keys), told.append, told.append), told


@pytest.mark.parametrize("failure", [StoreDown("it is down"), RuntimeError("a bug")])
def test_up_down_and_up_again(failure: Exception) -> None:
    async def run() -> None:
        keys = Keys()
        one, told = probing(keys)
        await one.look()
        keys.fails = failure
        await one.look()
        keys.fails = None
        await one.look()
        assert told == [True, 3, False, True, 3]
        assert keys.asked == [SOON_S] * 3

    asyncio.run(run())


def test_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "EVERY_S", 0.0)

    async def run() -> None:
        keys = Keys()
        one, told = probing(keys)
        await one.start()
        await eventually(lambda: len(keys.asked) >= 3)
        await one.stop()
        seen = len(told)
        await asyncio.sleep(0.01)
        assert len(told) == seen

    asyncio.run(run())
