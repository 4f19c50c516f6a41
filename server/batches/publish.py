"""The end of a batch: its outputs become files of its project."""

from __future__ import annotations

import asyncio
import os
import shutil
from hashlib import sha256
from pathlib import Path

from server.batches.hold import Hold
from server.batches.journal import KINDS, Journal
from server.batches.results import Kind
from server.batches.states import ended
from server.batches.threads import finished
from server.batches.tools import Tools
from server.stores.files import FileRecord
from server.stores.folder import disk_errors

DAY_S = 86_400


async def publish(tools: Tools, hold: Hold, journal: Journal) -> None:
    """Each step may be repeated: the ids of the files follow from that of the batch.

    Raises `Lost`, `StorageFull`, `StoreDown`.
    """
    record, now = hold.record, int(tools.clock())
    after_s = record.output_expires_s or (None if tools.output_days is None else tools.output_days * DAY_S)
    ids: dict[Kind, str] = {}
    for kind in KINDS:
        size = journal.size(kind)
        if not size:
            continue
        file_id = ids[kind] = _file_id(record.id, kind)
        copy = tools.contents.scratch / f"upload-{file_id}"
        with disk_errors():
            await finished(asyncio.to_thread(_copy, journal.place(kind), copy))
        await tools.contents.put(copy, file_id)
        name, expires_at = f"{record.id}_{kind}.jsonl", None if after_s is None else now + after_s
        await tools.store.add_file(FileRecord(file_id, record.project_id, "batch_output", name, size, now, expires_at))
    await hold.change(lambda record: ended(record, ids.get("output"), ids.get("errors"), now), release=True)
    await asyncio.to_thread(journal.remove)


def _file_id(batch_id: str, kind: Kind) -> str:
    return f"file-{sha256(f'{batch_id} {kind}'.encode()).hexdigest()[:24]}"


def _copy(made: Path, copy: Path) -> None:
    """Another name for the same content, where the disk knows such; nothing is written to it any more."""
    copy.unlink(missing_ok=True)
    try:
        os.link(made, copy)
    except OSError:
        shutil.copyfile(made, copy)
