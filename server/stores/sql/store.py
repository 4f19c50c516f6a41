"""The durable store, put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import time

from server.stores.base import StoreError
from server.stores.sealing import PLAIN, Sealing
from server.stores.sql.accounts import ServiceAccounts
from server.stores.sql.admin_keys import AdminKeys
from server.stores.sql.audit import Audit
from server.stores.sql.background import BackgroundResponses
from server.stores.sql.batches import Batches
from server.stores.sql.conversations import Conversations
from server.stores.sql.database import TIMEOUT_S, Database
from server.stores.sql.files import Files
from server.stores.sql.keys import Keys
from server.stores.sql.ledger import Usage
from server.stores.sql.place import place_of
from server.stores.sql.projects import Projects
from server.stores.sql.responses import Responses
from server.stores.sql.retention import Retention
from server.stores.sql.schema import refuse_newer, schema_of
from server.stores.sql.state_retention import StateRetention
from server.stores.sql.tables import SCHEMA
from server.stores.sql.watch import Watch


class SqlStore(
    Projects,
    Keys,
    ServiceAccounts,
    AdminKeys,
    Watch,
    Audit,
    Usage,
    Retention,
    Responses,
    BackgroundResponses,
    Conversations,
    StateRetention,
    Files,
    Batches,
):
    """All durable protocols of stores/ in one database."""

    def __init__(self, database: Database, clock: Callable[[], float] = time, sealing: Sealing = PLAIN) -> None:
        super().__init__(database, clock, sealing)

    async def close(self) -> None:
        await self._database.close()


def attach_durable(url: str, home: Path, *, timeout_s: float = TIMEOUT_S, sealing: Sealing = PLAIN) -> SqlStore:
    """Without a look at the database, which a parent has opened before: it may be down for now. Raises `StoreError`."""
    return SqlStore(Database(place_of(url, home), timeout_s), sealing=sealing)


async def connect_durable(url: str, home: Path, *, timeout_s: float = TIMEOUT_S) -> SqlStore:
    """For a worker, whose parent has called `open_durable`: what migrates is big, and not even imported here.

    Raises `StoreDown`, `NewerSchema`, `StoreError` (URL, or an older schema).
    """
    database = Database(place_of(url, home), timeout_s)
    try:
        async with database.reading() as connection:
            schema = await schema_of(connection)
        refuse_newer(database.name, schema)
        if schema != SCHEMA:
            raise StoreError(f"{database.name} has not been migrated to schema {SCHEMA}: start `portico serve`")
    except BaseException:
        await database.close()
        raise
    return SqlStore(database)
