"""The end of a batch: its outputs become files of its project."""

from __future__ import annotations

from hashlib import sha256

from server.batches.hold import Hold
from server.batches.outputs import KINDS, Outputs
from server.batches.results import Kind
from server.batches.states import ended
from server.batches.tools import Tools
from server.stores.files import FileRecord

DAY_S = 86_400


async def publish(tools: Tools, hold: Hold, outputs: Outputs) -> None:
    """Each step may be repeated: the ids of the files follow from that of the batch.

    Raises `Lost`, `StorageFull`, `StoreDown`.
    """
    record, now = hold.record, int(tools.clock())
    after_s = record.output_expires_s or (None if tools.output_days is None else tools.output_days * DAY_S)
    ids: dict[Kind, str] = {}
    for kind in KINDS:
        size = outputs.size(kind)
        if not size:
            continue
        file_id = ids[kind] = _file_id(record.id, kind)
        await outputs.publish(kind, file_id)
        name, expires_at = f"{record.id}_{kind}.jsonl", None if after_s is None else now + after_s
        await tools.store.add_file(FileRecord(file_id, record.project_id, "batch_output", name, size, now, expires_at))
    await hold.change(lambda record: ended(record, ids.get("output"), ids.get("errors"), now), release=True)
    await outputs.remove()


def _file_id(batch_id: str, kind: Kind) -> str:
    return f"file-{sha256(f'{batch_id} {kind}'.encode()).hexdigest()[:24]}"
