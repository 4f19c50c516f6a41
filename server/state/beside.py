"""Work that a request waits for beside the callbacks that it goes through: a look-up, a long count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from server.errors import StoreUnavailable

T = TypeVar("T")
MOST = 1024  # at the same time


class Beside:
    """`start` and `stop` are awaited by the app."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def do(self, work: Coroutine[Any, Any, T], told: Callable[[T | Exception], None]) -> None:
        """`told` hears what came of it. Raises `StoreUnavailable` where too much is being done."""
        if len(self._tasks) >= MOST:
            work.close()
            raise StoreUnavailable("Too many conversations are being looked up. Try again.", retry_after=1)
        task = asyncio.get_running_loop().create_task(_tell(work, told), name="prepare a response")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def start(self) -> None:
        """Nothing has to be begun."""

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _tell(work: Coroutine[Any, Any, T], told: Callable[[T | Exception], None]) -> None:
    try:
        found = await work
    except Exception as error:
        told(error)
    else:
        told(found)
