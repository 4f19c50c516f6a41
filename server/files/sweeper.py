"""Removes files whose time is over and what killed processes have left: now and then, by one process of all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import time
from typing import Protocol

from server.duty import Turns
from server.stores.files import Contents, FileStore

DUTY = "files"
SOME = 200  # in one transaction
OF_BATCH = "batch_"


class Store(FileStore, Protocol):
    async def open_batches(self, batch_ids: Sequence[str]) -> set[str]: ...


@dataclass(frozen=True)
class Pace(Turns):
    look: float = 60.0
    duty: int = 300
    young: float = 3600.0  # what is younger may still be in the making


DEFAULT_PACE = Pace()


class FileSweeper:
    """`sweep` is the work of a duty."""

    def __init__(
        self, store: Store, contents: Contents, pace: Pace = DEFAULT_PACE, clock: Callable[[], float] = time
    ) -> None:
        self._store = store
        self._contents = contents
        self._pace = pace
        self._clock = clock

    async def sweep(self) -> None:
        """Raises `StoreError`."""
        while expired := await self._store.drop_expired_files(SOME):
            for one in expired:
                await self._contents.remove(one)
        before = self._clock() - self._pace.young
        for one in await _unknown(await self._contents.older(before), self._store.known_files):
            await self._contents.remove(one)
        names = await self._contents.unfinished(before)
        batches = sorted({name.partition(".")[0] for name in names if name.startswith(OF_BATCH)})
        over = set(await _unknown(batches, self._store.open_batches))
        for name in names:
            if not name.startswith(OF_BATCH) or name.partition(".")[0] in over:
                await self._contents.discard(name)


async def _unknown(ids: Sequence[str], known: Callable[[Sequence[str]], Awaitable[set[str]]]) -> list[str]:
    """Those of `ids` that `known` does not give back."""
    found: list[str] = []
    for start in range(0, len(ids), SOME):
        some = ids[start : start + SOME]
        there = await known(some)
        found += [one for one in some if one not in there]
    return found
