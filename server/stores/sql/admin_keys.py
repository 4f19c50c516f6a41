"""Keys of administrators."""

from __future__ import annotations

import msgspec
from sqlalchemy import delete, insert, select

from server.stores.records import Actor, AdminKeyRecord
from server.stores.sql.change import Part
from server.stores.sql.codec import to_admin_key
from server.stores.sql.pages import found, page
from server.stores.sql.tables import admin_keys


class AdminKeys(Part):
    """See `stores.base.Directory`. A deleted one leaves its audit records."""

    async def create_admin_key(self, new: AdminKeyRecord, actor: Actor) -> None:
        async with self._change(actor) as change:
            await change.connection.execute(insert(admin_keys).values(msgspec.structs.asdict(new)))
            details = {"name": new.name, "redacted": new.redacted, "expires_at": new.expires_at}
            change.note("tenant.admin_api_key.created", None, new.id, details)

    async def admin_keys(self, *, after: str | None = None, limit: int = 100) -> list[AdminKeyRecord]:
        async with self._database.reading() as connection:
            rows = await page(connection, select(admin_keys), admin_keys, after, limit)
        return [to_admin_key(row) for row in rows]

    async def admin_key(self, key_id: str) -> AdminKeyRecord:
        query = select(admin_keys).where(admin_keys.c.id == key_id)
        async with self._database.reading() as connection:
            return to_admin_key(await found(connection, query, "admin key"))

    async def delete_admin_key(self, key_id: str, actor: Actor) -> None:
        async with self._change(actor) as change:
            query = select(admin_keys).where(admin_keys.c.id == key_id)
            key = to_admin_key(await found(change.connection, query, "admin key"))
            await change.connection.execute(delete(admin_keys).where(admin_keys.c.id == key_id))
            change.note("tenant.admin_api_key.deleted", None, key_id, {"name": key.name, "redacted": key.redacted})

    async def find_admin_key(self, lookup: str) -> AdminKeyRecord | None:
        query = select(admin_keys).where(admin_keys.c.lookup == lookup)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else to_admin_key(row)
