"""Records of the files of projects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    RowMapping,
    String,
    Table,
    Text,
    delete,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import NotAllowed, NotThere
from server.stores.files import FileRecord, Quota
from server.stores.sql.change import Part
from server.stores.sql.pages import found
from server.stores.sql.tables import METADATA, numbered

files = Table(
    "files",
    METADATA,
    numbered(),
    Column("id", String(64), nullable=False, unique=True),
    Column("project_id", Text, nullable=False),  # no foreign key: those of the configuration are not in this database
    Column("purpose", String(32), nullable=False),
    Column("filename", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, index=True),
    Index("ix_files_project_id_number", "project_id", "number"),
)


class Files(Part):
    """See `stores.files.FileStore`."""

    async def add_file(self, record: FileRecord, quota: Quota | None = None) -> None:
        async with self._database.writing() as connection:
            if quota is not None:
                await self._alone(connection, f"portico files {record.project_id}")
                kept = await _kept(connection, record.project_id)
                if kept.files >= quota.files:
                    raise NotAllowed(f"the project has {kept.files} files, of {quota.files} that it may keep")
                if kept.bytes + record.bytes > quota.bytes:
                    raise NotAllowed(
                        f"the files of the project take {kept.bytes} bytes, of {quota.bytes} that they may take"
                    )
            row = asdict(record)
            await connection.execute(self._database.insert(files).values(row).on_conflict_do_nothing())

    async def file(self, project_id: str, file_id: str) -> FileRecord:
        query = select(files).where(files.c.project_id == project_id, files.c.id == file_id, self._there())
        async with self._database.reading() as connection:
            return _record(await found(connection, query, "file"))

    async def files(
        self,
        project_id: str,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 100,
        newest_first: bool = True,
    ) -> list[FileRecord]:
        number = files.c.number
        query = select(files).where(files.c.project_id == project_id, self._there()).limit(limit)
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        if after is not None:
            last = select(number).where(files.c.id == after, files.c.project_id == project_id).scalar_subquery()
            query = query.where(number < last if newest_first else number > last)
        query = query.order_by(number.desc() if newest_first else number)
        async with self._database.reading() as connection:
            return [_record(row) for row in (await connection.execute(query)).mappings()]

    async def delete_file(self, project_id: str, file_id: str) -> None:
        statement = delete(files).where(files.c.project_id == project_id, files.c.id == file_id, self._there())
        async with self._database.writing() as connection:
            gone: Any = await connection.execute(statement)
            if gone.rowcount == 0:
                raise NotThere("there is no file with this id")

    async def kept_files(self, project_id: str) -> Quota:
        async with self._database.reading() as connection:
            return await _kept(connection, project_id)

    async def drop_expired_files(self, limit: int) -> list[str]:
        old = select(files.c.id).where(files.c.expires_at <= int(self._clock())).order_by(files.c.expires_at)
        async with self._database.writing() as connection:
            ids = list((await connection.execute(old.limit(limit))).scalars())
            await connection.execute(delete(files).where(files.c.id.in_(ids)))
        return ids

    async def known_files(self, file_ids: Sequence[str]) -> set[str]:
        async with self._database.reading() as connection:
            return set((await connection.execute(select(files.c.id).where(files.c.id.in_(file_ids)))).scalars())

    def _there(self) -> ColumnElement[bool]:
        return files.c.expires_at.is_(None) | (files.c.expires_at > int(self._clock()))


async def _kept(connection: AsyncConnection, project_id: str) -> Quota:
    sums = select(func.count(), func.coalesce(func.sum(files.c.bytes), 0)).where(files.c.project_id == project_id)
    number, size = (await connection.execute(sums)).one()
    return Quota(number, int(size))


def _record(row: RowMapping) -> FileRecord:
    return FileRecord(**{name: row[name] for name in FileRecord.__struct_fields__})
