"""What one of all processes does now and then: which one, the durable store says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from server.stores.base import StoreError

log = logging.getLogger("portico")


class Store(Protocol):
    """The part of `stores.base.Retention` that is needed here."""

    async def take_duty(self, name: str, for_s: int) -> bool: ...


@dataclass(frozen=True)
class Turns:
    """Both in seconds."""

    look: float  # between two questions whether it is our turn
    duty: int  # between two times of all processes together


class Duty:
    """Does `work` when it is this process's turn. `start` and `stop` are awaited by the app."""

    def __init__(self, store: Store, name: str, work: Callable[[], Awaitable[None]], turns: Turns) -> None:
        self._store = store
        self._name = name
        self._work = work
        self._turns = turns
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                if await self._store.take_duty(self._name, self._turns.duty):
                    await self._work()
            except StoreError as error:
                log.warning("%s: nothing is removed for now: %s", self._name, error)
            except Exception:  # a bug must not end it
                log.exception("%s failed", self._name)
            await asyncio.sleep(self._turns.look)
