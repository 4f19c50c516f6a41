"""What is asked of stores for batches. One process at a time has a batch: it claims it, and keeps it while it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct, field

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
Ending = Literal["failed", "completed", "expired", "cancelled"]
OPEN: tuple[Status, ...] = ("validating", "in_progress", "finalizing", "cancelling")


class LineError(Struct, frozen=True):
    """What is wrong with a batch. `line` is its number in the input, from 1; None where it is about the whole."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchTokens(Struct, frozen=True):
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0


class Counts(Struct, frozen=True):
    """Of lines."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchRecord(Struct, frozen=True):
    """Times are Unix seconds."""

    id: str  # batch_...
    project_id: str
    key_id: str  # whose rights, limits and usage its lines have
    endpoint: str  # the path, such as /v1/chat/completions
    input_file_id: str
    created_at: int
    expires_at: int
    status: Status = "validating"
    ending: Ending | None = None  # what it will be when it is finalized
    times: dict[Status, int] = field(default_factory=dict[Status, int])  # when it came to be so
    counts: Counts = Counts()
    tokens: BatchTokens = BatchTokens()
    model: str | None = None  # if all lines are for one
    errors: tuple[LineError, ...] = ()
    metadata: dict[str, str] | None = None
    output_expires_s: int | None = None  # after the output files were made
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def open(self) -> bool:
        return self.status in OPEN


Change = Callable[[BatchRecord], BatchRecord]
"""What becomes of a batch; pure."""


class BatchStore(Protocol):
    """All methods raise `StoreDown`."""

    async def add_batch(self, record: BatchRecord, most_open: int) -> None:
        """Raises `NotAllowed` if the project has `most_open` open ones."""
        ...

    async def batch(self, project_id: str, batch_id: str) -> BatchRecord:
        """Raises `NotThere`."""
        ...

    async def batches(self, project_id: str, *, after: str | None = None, limit: int = 100) -> list[BatchRecord]:
        """Newest first; `after` is the id of the last one seen."""
        ...

    async def change_batch(self, project_id: str, batch_id: str, change: Change) -> BatchRecord:
        """Keep what `change` makes of the record, which nobody else changes then.

        Raises `NotThere`, and what `change` raises: nothing is changed then.
        """
        ...

    async def claim_batch(self, owner: str, for_s: float) -> BatchRecord | None:
        """An open one that nobody has: `owner` has it for so long. None if there is none.

        One of the project which has the fewest running; of these the one that nobody has had for the longest, and of
        new ones the oldest.
        """
        ...

    async def keep_batch(self, batch_id: str, owner: str, for_s: float, change: Change) -> BatchRecord:
        """`change_batch` by its owner, who has it for `for_s` more; 0 gives it up.

        Raises `NotAllowed` if he has it no more.
        """
        ...

    async def open_batches(self, batch_ids: Sequence[str]) -> set[str]:
        """Those of them that are open."""
        ...
