"""The tables, as the newest migration leaves them (a test compares). Times are Unix seconds."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

SCHEMA = "0004"
"""Revision that this code works with. Revisions are four digits and grow, so that a newer one can be told."""
VERSION_TABLE = "portico_version"

METADATA = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in INTEGER keys only


def numbered() -> Column[int]:
    """The order of creation, which times in seconds do not tell."""
    return Column("number", NUMBER, primary_key=True, autoincrement=True)


state = Table(
    "state",
    METADATA,
    # One row.
    Column("id", SmallInteger, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("secret", LargeBinary, nullable=False),
)

# Where each chained log ends, and up to where it was cut (0 and the start of all chains where it never was). Whoever
# adds to a log locks its row: records come one after the other, without gaps. The row of the audit log is locked by
# every change of the directory, and that of the decisions by none.
chains = Table(
    "chains",
    METADATA,
    Column("name", String(16), primary_key=True),  # of the table
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("cut_seq", BigInteger, nullable=False),
    Column("cut_hash", String(64), nullable=False),
)

# What one process at a time does for all: free for the next one from `free_at` on.
duties = Table(
    "duties",
    METADATA,
    Column("name", String(16), primary_key=True),
    Column("free_at", BigInteger, nullable=False),
)

projects = Table(
    "projects",
    METADATA,
    numbered(),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    Column("weight", Double, nullable=False),
    Column("limits", Text, nullable=False),  # JSON, see codec.py; so are model_limits and grants
    Column("model_limits", Text, nullable=False),
    Column("policy", Text),
)

service_accounts = Table(
    "service_accounts",
    METADATA,
    numbered(),
    Column("id", String(64), nullable=False, unique=True),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("role", String(16), nullable=False),
    Column("deleted_at", BigInteger),  # its keys go on to name it
)

keys = Table(
    "keys",
    METADATA,
    numbered(),
    Column("id", String(64), nullable=False, unique=True),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False, index=True),
    Column("service_account_id", String(64), ForeignKey("service_accounts.id"), index=True),
    Column("name", Text, nullable=False),
    Column("lookup", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("redacted", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("grants", Text, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
)

admin_keys = Table(
    "admin_keys",
    METADATA,
    numbered(),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("lookup", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("redacted", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
)


def chained_log(name: str, project_id: String) -> Table:
    return Table(
        name,
        METADATA,
        Column("seq", NUMBER, primary_key=True, autoincrement=False),
        Column("id", String(64), nullable=False, unique=True),
        Column("at", BigInteger, nullable=False, index=True),
        Column("event", String(64), nullable=False),
        Column("actor_kind", String(16), nullable=False),
        Column("actor_id", Text, nullable=False),
        Column("actor_name", Text, nullable=False),
        Column("project_id", project_id),
        Column("subject_id", String(64), nullable=False),
        Column("details", Text, nullable=False),  # canonical JSON; a JSON column would write numbers its own way
        Column("previous", String(64), nullable=False),
        Column("hash", String(64), nullable=False),
        Index(f"ix_{name}_project_id_seq", "project_id", "seq"),
    )


audit = chained_log("audit", String(64))
decisions = chained_log("decisions", Text())  # a project of the configuration has a name of any length for its id

usage = Table(
    "usage",
    METADATA,
    Column("call_id", String(128), primary_key=True),
    Column("at_ms", BigInteger, nullable=False, index=True),  # Unix milliseconds: integers divide the same everywhere
    # No foreign keys: the projects and keys of the configuration are not in this database.
    Column("project_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("priority", String(16), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("prompt", BigInteger, nullable=False),
    Column("cached", BigInteger, nullable=False),
    Column("completion", BigInteger, nullable=False),
    Column("reasoning", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("queued_ms", Double, nullable=False),
    Column("first_token_ms", Double),
    Column("duration_ms", Double, nullable=False),
)

# Sums of `usage` by hour, kept in the transaction that adds to it: the month of a busy project is millions of calls,
# and a counter of limits that starts anew cannot wait for them to be added up.
usage_hours = Table(
    "usage_hours",
    METADATA,
    Column("project_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),  # its first second
    Column("requests", BigInteger, nullable=False),
    Column("prompt", BigInteger, nullable=False),
    Column("cached", BigInteger, nullable=False),
    Column("completion", BigInteger, nullable=False),
    Column("reasoning", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Index("ix_usage_hours_hour", "hour"),
    Index("ix_usage_hours_key_id_hour", "key_id", "hour"),
    Index("ix_usage_hours_project_id_hour", "project_id", "hour"),
)
