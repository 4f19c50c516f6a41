"""Keys of projects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import NotAllowed
from server.stores.records import Actor, KeyRecord, ProjectRecord
from server.stores.sql.chained import ends_of
from server.stores.sql.change import Change, Part
from server.stores.sql.codec import key_row, to_json, to_key, to_project
from server.stores.sql.pages import found, page
from server.stores.sql.projects import open_project
from server.stores.sql.tables import admin_keys, keys, projects, service_accounts


class Keys(Part):
    """See `stores.base.Directory`."""

    async def create_key(self, new: KeyRecord, actor: Actor) -> None:
        async with self._change(actor) as change:
            await open_project(change.connection, new.project_id)
            if new.service_account_id is not None:
                account = select(service_accounts.c.id).where(
                    service_accounts.c.id == new.service_account_id,
                    service_accounts.c.project_id == new.project_id,
                    service_accounts.c.deleted_at.is_(None),
                )
                await found(change.connection, account, "service account")
            await add_key(change, new)

    async def keys(
        self, project_id: str | None = None, *, after: str | None = None, limit: int = 100, revoked: bool = True
    ) -> list[KeyRecord]:
        query = select(keys) if revoked else select(keys).where(keys.c.revoked_at.is_(None))
        if project_id is not None:
            query = query.where(keys.c.project_id == project_id)
        async with self._database.reading() as connection:
            return [to_key(row) for row in await page(connection, query, keys, after, limit)]

    async def key(self, project_id: str | None, key_id: str) -> KeyRecord:
        async with self._database.reading() as connection:
            return await _key_of(connection, project_id, key_id)

    async def expiring_keys(self, after: int, until: int) -> int:
        soon = keys.c.expires_at.between(after, until) & keys.c.revoked_at.is_(None)
        async with self._database.reading() as connection:
            return (await connection.execute(select(func.count()).select_from(keys).where(soon))).scalar_one()

    async def change_key(self, key_id: str, change: Callable[[KeyRecord], KeyRecord], actor: Actor) -> KeyRecord:
        async with self._change(actor) as open_change:
            before = await _live_key(open_change, key_id)
            wanted = change(before)
            new = {"name": wanted.name, "grants": wanted.grants, "expires_at": wanted.expires_at}
            after = msgspec.structs.replace(before, **new)
            asked = {field: value for field, value in _described(after).items() if value != _described(before)[field]}
            if asked:
                open_change.note("api_key.updated", after.project_id, key_id, asked)
                row = new | {"grants": to_json(after.grants)}
                await open_change.connection.execute(update(keys).where(keys.c.id == key_id).values(row))
        return after

    async def revoke_key(self, project_id: str | None, key_id: str, actor: Actor) -> KeyRecord:
        async with self._change(actor) as change:
            key = await _key_of(change.connection, project_id, key_id)
            return key if key.revoked_at is not None else await revoke(change, key)

    async def rotate_key(self, key_id: str, successor: KeyRecord, overlap_s: int, actor: Actor) -> None:
        """A key that would expire before the overlap is over does so."""
        async with self._change(actor) as change:
            old = await _live_key(change, key_id)
            await open_project(change.connection, old.project_id)
            end = change.at + overlap_s
            end = end if old.expires_at is None else min(end, old.expires_at)
            await add_key(change, successor, {"rotated_from": key_id})
            await change.connection.execute(update(keys).where(keys.c.id == key_id).values(expires_at=end))
            change.note("api_key.updated", old.project_id, key_id, {"expires_at": end, "rotated_to": successor.id})

    async def find_key(self, lookup: str) -> tuple[KeyRecord, ProjectRecord] | None:
        query = select(keys, projects).join(projects, projects.c.id == keys.c.project_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query.where(keys.c.lookup == lookup))).mappings().one_or_none()
        return None if row is None else (to_key(row), to_project(row))

    async def touch_keys(self, last_used: Mapping[str, int]) -> None:
        if not last_used:
            return
        rows = [{"key": key_id, "at": at} for key_id, at in sorted(last_used.items())]
        async with self._database.writing() as connection:
            # Among the changes and not beside them: two processes that update the same rows wait for each other.
            await ends_of(connection, "audit", lock=True)
            for table in (keys, admin_keys):
                noted = table.c.last_used_at
                newer = or_(noted.is_(None), noted < bindparam("at"))
                touch = update(table).where(table.c.id == bindparam("key"), newer)
                await connection.execute(touch.values(last_used_at=bindparam("at")), rows)


async def add_key(change: Change, new: KeyRecord, more: Mapping[str, str] | None = None) -> None:
    """Insert and note it; whether it is allowed was looked at before."""
    await change.connection.execute(insert(keys).values(key_row(new)))
    details = {**_described(new), "redacted": new.redacted}
    if new.service_account_id is not None:
        details["service_account_id"] = new.service_account_id
    change.note("api_key.created", new.project_id, new.id, details | dict(more or {}))


async def revoke(change: Change, key: KeyRecord) -> KeyRecord:
    await change.connection.execute(update(keys).where(keys.c.id == key.id).values(revoked_at=change.at))
    change.note("api_key.deleted", key.project_id, key.id, {"name": key.name, "redacted": key.redacted})
    return msgspec.structs.replace(key, revoked_at=change.at)


def _described(key: KeyRecord) -> dict[str, Any]:
    return {"name": key.name, "expires_at": key.expires_at} | msgspec.structs.asdict(key.grants)


async def _key_of(connection: AsyncConnection, project_id: str | None, key_id: str) -> KeyRecord:
    query = select(keys).where(keys.c.id == key_id)
    if project_id is not None:
        query = query.where(keys.c.project_id == project_id)
    return to_key(await found(connection, query, "key"))


async def _live_key(change: Change, key_id: str) -> KeyRecord:
    """Raises `NotThere`, `NotAllowed` (revoked, expired)."""
    key = await _key_of(change.connection, None, key_id)
    if key.revoked_at is not None:
        raise NotAllowed(f"the key {key.name} is revoked")
    if key.expires_at is not None and key.expires_at <= change.at:
        raise NotAllowed(f"the key {key.name} has expired")
    return key
