from __future__ import annotations

import asyncio

import pytest

from server import watchdog
from server.watchdog import Watchdog


class Clock:
    def __init__(self) -> None:
        self.ticks: list[float] = []

    def tick(self, now: float) -> None:
        self.ticks.append(now)


class Broken:
    def tick(self, now: float) -> None:
        raise RuntimeError


def test_a_broken_watcher_does_not_stop_the_others() -> None:
    dog, clock = Watchdog(), Clock()
    for one in (Broken(), clock, Broken()):
        dog.add(one)
    dog.sweep(1.0)
    dog.discard(clock)
    dog.discard(clock)
    dog.sweep(2.0)
    assert clock.ticks == [1.0]


def test_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "INTERVAL_S", 0.01)

    async def life() -> None:
        dog, clock = Watchdog(), Clock()
        dog.add(clock)
        dog.start()
        await asyncio.sleep(0.1)
        await dog.stop()
        assert len(clock.ticks) >= 2
        seen = len(clock.ticks)
        await asyncio.sleep(0.03)
        assert len(clock.ticks) == seen

    asyncio.run(life())
