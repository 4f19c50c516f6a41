"""What requests have to wait for before they become calls: each in a task of its own, and not too many of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from server.errors import StoreUnavailable

MOST = 1024  # at the same time
Found = TypeVar("Found")


class Lookups:
    """`what` is looked up, in the words of an error."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, Found], told: Callable[[Found | Exception], None]) -> None:
        """`told` hears what came of `work`, later. Raises `StoreUnavailable` where too many wait."""
        if len(self._tasks) >= MOST:
            work.close()
            raise StoreUnavailable(f"Too many {self._what} are being looked up. Try again.", retry_after=1)
        task = asyncio.get_running_loop().create_task(_tell(work, told), name=f"look up {self._what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _tell(work: Coroutine[Any, Any, Found], told: Callable[[Found | Exception], None]) -> None:
    try:
        found = await work
    except Exception as error:
        told(error)
    else:
        told(found)
