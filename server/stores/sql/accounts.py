"""Service accounts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.records import Actor, KeyRecord, ServiceAccountRecord
from server.stores.sql.change import Part
from server.stores.sql.codec import to_key, to_service_account
from server.stores.sql.keys import add_key, revoke
from server.stores.sql.pages import found, page
from server.stores.sql.projects import open_project
from server.stores.sql.tables import keys, service_accounts


class ServiceAccounts(Part):
    """See `stores.base.Directory`."""

    async def create_service_account(self, new: ServiceAccountRecord, key: KeyRecord | None, actor: Actor) -> None:
        async with self._change(actor) as change:
            await open_project(change.connection, new.project_id)
            await change.connection.execute(insert(service_accounts).values(msgspec.structs.asdict(new)))
            change.note("service_account.created", new.project_id, new.id, {"name": new.name, "role": new.role})
            if key is not None:
                await add_key(change, key)

    async def service_accounts(
        self, project_id: str, *, after: str | None = None, limit: int = 100
    ) -> list[ServiceAccountRecord]:
        query = select(service_accounts).where(
            service_accounts.c.project_id == project_id, service_accounts.c.deleted_at.is_(None)
        )
        async with self._database.reading() as connection:
            rows = await page(connection, query, service_accounts, after, limit)
        return [to_service_account(row) for row in rows]

    async def service_account(self, project_id: str, account_id: str) -> ServiceAccountRecord:
        async with self._database.reading() as connection:
            return await _account_of(connection, project_id, account_id)

    async def change_service_account(
        self,
        project_id: str,
        account_id: str,
        change: Callable[[ServiceAccountRecord], ServiceAccountRecord],
        actor: Actor,
    ) -> ServiceAccountRecord:
        async with self._change(actor) as open_change:
            before = await _account_of(open_change.connection, project_id, account_id)
            wanted = change(before)
            after = msgspec.structs.replace(before, name=wanted.name, role=wanted.role)
            new = {name: getattr(after, name) for name in ("name", "role")}
            asked = {name: value for name, value in new.items() if value != getattr(before, name)}
            if asked:
                open_change.note("service_account.updated", project_id, account_id, asked)
                its = update(service_accounts).where(service_accounts.c.id == account_id)
                await open_change.connection.execute(its.values(asked))
        return after

    async def delete_service_account(self, project_id: str, account_id: str, actor: Actor) -> None:
        async with self._change(actor) as change:
            account = await _account_of(change.connection, project_id, account_id)
            await change.connection.execute(
                update(service_accounts).where(service_accounts.c.id == account_id).values(deleted_at=change.at)
            )
            change.note("service_account.deleted", project_id, account_id, {"name": account.name})
            its = select(keys).where(keys.c.service_account_id == account_id, keys.c.revoked_at.is_(None))
            for row in (await change.connection.execute(its.order_by(keys.c.number))).mappings().all():
                await revoke(change, to_key(row))


async def _account_of(connection: AsyncConnection, project_id: str, account_id: str) -> ServiceAccountRecord:
    """Raises `NotThere`, for deleted ones too."""
    query = select(service_accounts).where(
        service_accounts.c.id == account_id,
        service_accounts.c.project_id == project_id,
        service_accounts.c.deleted_at.is_(None),
    )
    return to_service_account(await found(connection, query, "service account"))
