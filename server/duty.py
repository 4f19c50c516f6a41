"""What every process does now and then, and what one of all does: which one, the durable store says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from server.stores.base import StoreError

log = logging.getLogger("portico")


class Repeated:
    """`look` every so many seconds, the first time at once. `start` and `stop` are awaited by the app."""

    def __init__(self, name: str, every_s: float) -> None:
        self._name = name
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Once. Never raises."""
        raise NotImplementedError

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)


class Store(Protocol):
    """The part of `stores.base.Retention` that is needed here."""

    async def take_duty(self, name: str, for_s: int) -> bool: ...


@dataclass(frozen=True)
class Turns:
    """Both in seconds."""

    look: float  # between two questions whether it is our turn
    duty: int  # between two times of all processes together


class Duty(Repeated):
    """Does `work` when it is this process's turn."""

    def __init__(self, store: Store, name: str, work: Callable[[], Awaitable[None]], turns: Turns) -> None:
        super().__init__(name, turns.look)
        self._store = store
        self._work = work
        self._turns = turns

    async def look(self) -> None:
        try:
            if await self._store.take_duty(self._name, self._turns.duty):
                await self._work()
        except StoreError as error:
            log.warning("%s: nothing is removed for now: %s", self._name, error)
        except Exception:  # a bug must not end it
            log.exception("%s failed", self._name)
