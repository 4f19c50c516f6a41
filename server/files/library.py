"""The files of projects: uploaded, handed out, deleted, in bounds."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from time import time

from server.config import Files as Settings
from server.errors import FileLimitExceeded
from server.openai.file_form import FileForm
from server.stores.base import NotAllowed
from server.stores.files import Contents, FileRecord, FileStore, Purpose, Quota, Reader
from server.stores.folder import disk_errors, make_folder

WRITE_BYTES = 262_144  # that are written in one visit of a thread
DAY_S = 86_400


class Library:
    """Its methods raise `StoreDown`."""

    def __init__(
        self, store: FileStore, contents: Contents, settings: Settings, clock: Callable[[], float] = time
    ) -> None:
        self.store = store
        self._contents = contents
        self._settings = settings
        self._clock = clock

    def form(self, content_type: bytes) -> FileForm:
        """For `add`. Raises `InvalidRequest`."""
        return FileForm(content_type, self._settings.max_file_bytes)

    async def add(self, project_id: str, form: FileForm, body: AsyncIterator[bytes]) -> FileRecord:
        """Nothing is kept of what does not come to its end.

        Raises `FileLimitExceeded`, `InvalidRequest`, `StorageFull`, and what `body` raises.
        """
        quota = Quota(self._settings.max_project_files, self._settings.max_project_bytes)
        await self._check_room(project_id, quota)
        made = self._contents.scratch / f"upload-{secrets.token_hex(16)}"
        try:
            await _write(made, form, body)
            said = form.finish()
            now = int(self._clock())
            expires_at = expiry(now, said.purpose, said.expires_after_s, self._settings.expires_days)
            record = FileRecord(new_file_id(), project_id, said.purpose, said.filename, form.size, now, expires_at)
            await self._contents.put(made, record.id)
        except BaseException:
            made.unlink(missing_ok=True)
            raise
        try:
            await self.store.add_file(record, quota)
        except NotAllowed as error:
            await self._contents.remove(record.id)
            raise _too_many(str(error)) from None
        return record

    def reading(self, record: FileRecord) -> AbstractAsyncContextManager[Reader]:
        """Raises `NotThere`, when it is entered."""
        return self._contents.reading(record.id)

    async def delete(self, project_id: str, file_id: str) -> None:
        """Raises `NotThere`."""
        await self.store.delete_file(project_id, file_id)
        await self._contents.remove(file_id)

    async def _check_room(self, project_id: str, quota: Quota) -> None:
        """Before anything is read; `add_file` decides."""
        kept = await self.store.kept_files(project_id)
        if kept.files >= quota.files or kept.bytes >= quota.bytes:
            raise _too_many(f"the project has {kept.files} files of {kept.bytes} bytes")


def new_file_id() -> str:
    return f"file-{secrets.token_hex(12)}"


def expiry(now: int, purpose: Purpose, after_s: int | None, days: int | None) -> int | None:
    """When a file is to go, Unix seconds. As with OpenAI, those of batches go by themselves, others do not."""
    if after_s is not None:
        return now + after_s
    return None if days is None or purpose == "user_data" else now + days * DAY_S


async def _write(place: Path, form: FileForm, body: AsyncIterator[bytes]) -> None:
    """Raises `StorageFull`, `StoreDown`, `InvalidRequest`."""
    with disk_errors():
        await asyncio.to_thread(_create, place)
        waiting = bytearray()
        async for part in body:
            waiting += form.feed(part)
            if len(waiting) >= WRITE_BYTES:
                await asyncio.to_thread(_append, place, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(_append, place, bytes(waiting))


def _create(place: Path) -> None:
    make_folder(place.parent)
    place.touch(mode=0o600, exist_ok=False)


def _append(place: Path, data: bytes) -> None:
    """Opened each time: one that nobody waits for any more writes nowhere else."""
    with place.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(data)


def _too_many(why: str) -> FileLimitExceeded:
    return FileLimitExceeded(f"No more files can be kept: {why}. Delete some, or ask the operator for more room.")
