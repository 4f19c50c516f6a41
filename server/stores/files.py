"""What is asked of stores for the files of projects: a record of each in the database, its content elsewhere.

Implementations: `sql/files.py` for the records, `folder.py` and `bucket_contents.py` for contents. A content is there
before its record and is removed after it, so nobody sees half a file; contents without a record are swept
(server/files/sweeper.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from server.stores.base import StoreError

Purpose = Literal["batch", "batch_output", "user_data"]


class FileRecord(Struct, frozen=True):
    """Times are Unix seconds. `filename` is what the client calls it, and never a path."""

    id: str  # file-...
    project_id: str
    purpose: Purpose
    filename: str
    bytes: int
    created_at: int
    expires_at: int | None = None


class Quota(Struct, frozen=True):
    """What a project may keep."""

    files: int
    bytes: int


class FileStore(Protocol):
    """A file whose time is over is not there any more, whether it was swept or not. All methods raise `StoreDown`."""

    async def add_file(self, record: FileRecord, quota: Quota | None = None) -> None:
        """Again is no harm. Raises `NotAllowed` if the project would have more than `quota`."""
        ...

    async def file(self, project_id: str, file_id: str) -> FileRecord:
        """Raises `NotThere`."""
        ...

    async def files(
        self,
        project_id: str,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 100,
        newest_first: bool = True,
    ) -> list[FileRecord]:
        """In the order of creation; `after` is the id of the last one seen."""
        ...

    async def delete_file(self, project_id: str, file_id: str) -> None:
        """Raises `NotThere`."""
        ...

    async def kept_files(self, project_id: str) -> Quota:
        """How much of its quota a project uses."""
        ...

    async def drop_expired_files(self, limit: int) -> list[str]:
        """Their ids: the contents are to be removed by the caller."""
        ...

    async def known_files(self, file_ids: Sequence[str]) -> set[str]:
        """Those that have a record."""
        ...


class StorageFull(StoreError):
    """There is no room for a content; the text is one line for a person."""


class Reader(Protocol):
    async def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Contents(Protocol):
    """Contents by the id of their file. All methods raise `StoreDown`, those that write `StorageFull` too."""

    @property
    def scratch(self) -> Path:
        """A local folder for what is being made: what `put` takes quickly."""
        ...

    async def put(self, made: Path, file_id: str) -> None:
        """Keep what is at `made`, safe from a loss of power when this returns; `made` is gone then."""
        ...

    def reading(self, file_id: str) -> AbstractAsyncContextManager[Reader]:
        """Raises `NotThere`, when it is entered."""
        ...

    async def remove(self, file_id: str) -> None:
        """Again is no harm."""
        ...

    async def older(self, before: float) -> list[str]:
        """Ids of the contents that were put before that time (Unix seconds)."""
        ...

    async def unfinished(self, before: float) -> list[str]:
        """Names of what is in the making and did not change since that time: `upload-...`, `BATCH_ID.` and more."""
        ...

    async def discard(self, name: str) -> None:
        """One of those."""
        ...


class Object(NamedTuple):
    """`changed`: Unix seconds."""

    key: str
    size: int
    changed: float


class Conflict(StoreError):
    """What was to be created is there."""


class Objects(Protocol):
    """A store of objects by key. All methods raise `StoreDown`, and `NotThere` for a key or a bucket that is not."""

    async def upload(self, place: Path, key: str) -> None:
        """What is at `place`; whole or not at all."""
        ...

    async def create(self, key: str, data: bytes) -> None:
        """Raises `Conflict` if there is one: of several that create it, one does."""
        ...

    async def size(self, key: str) -> int: ...

    async def read(self, key: str, start: int, length: int) -> bytes: ...

    async def several(self, prefix: str) -> list[Object]:
        """All whose keys begin so, in the order of their keys."""
        ...

    async def delete(self, keys: Iterable[str]) -> None:
        """Again is no harm."""
        ...
