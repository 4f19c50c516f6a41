"""The results of a batch that runs, wherever they are kept: what a journal has to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, get_args

from server.batches.results import Kind, Result, read
from server.stores.base import StoreDown
from server.stores.batches import BatchTokens, Counts

KINDS: tuple[Kind, ...] = get_args(Kind)


class Locked(StoreDown):
    """Another process still has the batch."""


@dataclass
class Progress:
    """What there is a result of."""

    numbers: set[int] = field(default_factory=set[int])
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    tokens: BatchTokens = field(default_factory=BatchTokens)

    def add(self, number: int, kind: Kind, tokens: BatchTokens) -> None:
        self.numbers.add(number)
        self.counts[kind] += 1
        if tokens != BatchTokens():
            now = self.tokens
            self.tokens = BatchTokens(
                now.prompt + tokens.prompt,
                now.cached + tokens.cached,
                now.completion + tokens.completion,
                now.reasoning + tokens.reasoning,
            )

    def of(self, total: int) -> Counts:
        return Counts(total, self.counts["output"], self.counts["errors"])

    def recover(self, line: bytes, batch_id: str, kind: Kind) -> bool:
        """Whether this is a whole result, and one that was not there yet; it counts then."""
        found = read(line, batch_id)
        if found is None or found[0] in self.numbers:
            return False
        self.add(found[0], kind, found[1])
        return True


class Outputs(Protocol):
    """`open` and `close` it. All methods raise `StorageFull`, `StoreDown`."""

    progress: Progress

    async def open(self) -> None:
        """With what there is already. Raises `Locked`."""
        ...

    async def append(self, results: Sequence[Result]) -> None:
        """All or, where an error is raised, some of them. Raises `Locked`."""
        ...

    def size(self, kind: Kind) -> int:
        """Bytes."""
        ...

    async def publish(self, kind: Kind, file_id: str) -> None:
        """They are the content of that file. Again is no harm."""
        ...

    def close(self) -> None:
        """More than once is no harm."""
        ...

    async def remove(self) -> None:
        """The batch has ended: its outputs are kept elsewhere."""
        ...
