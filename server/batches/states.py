"""What becomes of a batch. Pure.

validating -> in_progress -> finalizing -> completed | expired | failed
     any of these -> cancelling -> cancelled
"""

from __future__ import annotations

from msgspec.structs import replace

from server.stores.base import NotAllowed
from server.stores.batches import BatchRecord, BatchTokens, Counts, Ending, LineError, Status


def at(record: BatchRecord, status: Status, now: int) -> BatchRecord:
    return replace(record, status=status, times={**record.times, status: now})


def validated(record: BatchRecord, total: int, model: str | None, now: int) -> BatchRecord:
    if record.status != "validating":  # it was cancelled
        return record
    return at(replace(record, counts=Counts(total), model=model), "in_progress", now)


def refused(record: BatchRecord, errors: tuple[LineError, ...], now: int) -> BatchRecord:
    """Its input is not one that can be run."""
    return record if record.status != "validating" else at(replace(record, errors=errors), "failed", now)


def progressed(record: BatchRecord, counts: Counts, tokens: BatchTokens) -> BatchRecord:
    return replace(record, counts=counts, tokens=tokens)


def finalizing(record: BatchRecord, ending: Ending, errors: tuple[LineError, ...], now: int) -> BatchRecord:
    """Nothing more is run. What was decided before, here or by the client, stays."""
    if record.status == "cancelling":
        return replace(record, ending="cancelled")
    if record.status == "finalizing":
        return record
    return at(replace(record, ending=ending, errors=errors), "finalizing", now)


def ended(record: BatchRecord, output: str | None, errors: str | None, now: int) -> BatchRecord:
    """`output` and `errors` are the ids of the files."""
    ending: Ending = "cancelled" if record.status == "cancelling" else record.ending or "completed"
    return at(replace(record, ending=ending, output_file_id=output, error_file_id=errors), ending, now)


def cancelling(record: BatchRecord, now: int) -> BatchRecord:
    """Raises `NotAllowed` if it has ended; again is no harm."""
    if not record.open:
        raise NotAllowed(f"a batch that is {record.status} cannot be cancelled")
    return record if record.status == "cancelling" else at(record, "cancelling", now)
