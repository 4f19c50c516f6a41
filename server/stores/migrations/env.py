"""Run by Alembic: migrates on the connection, and in the transaction, of `sql/opening.py`."""

from __future__ import annotations

from alembic import context

from server.stores.sql.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite's too, which Alembic does not count on
)
with context.begin_transaction():
    context.run_migrations()
