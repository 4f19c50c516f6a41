"""Which version of the tables a database has."""

from __future__ import annotations

from sqlalchemy import String, column, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stores.base import NewerSchema
from server.stores.sql.tables import SCHEMA, VERSION_TABLE


async def schema_of(connection: AsyncConnection) -> str | None:
    """The revision that the database is at; None if it is empty."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(VERSION_TABLE)):
        return None
    query = select(column("version_num", String)).select_from(table(VERSION_TABLE))
    return (await connection.execute(query)).scalar_one_or_none()


def refuse_newer(name: str, schema: str | None) -> None:
    """Raises `NewerSchema`."""
    if schema is not None and schema > SCHEMA:
        raise NewerSchema(
            f"{name} was made by a newer Portico (schema {schema}, this one knows {SCHEMA}): start the newer version, "
            "or restore the backup from before the upgrade"
        )
