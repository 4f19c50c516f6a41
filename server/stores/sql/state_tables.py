"""The tables of responses and conversations. What holds text is bytes, which may be sealed (stores/sealing.py).

The project is no foreign key: those of the configuration are not in this database.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from server.stores.sql.tables import METADATA

# Small columns first, and those that histories are made of before the body, which they need not walk through.
responses = Table(
    "responses",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("model", Text, nullable=False),
    Column("background", Boolean, nullable=False),
    Column("previous_id", String(64)),  # no foreign key either: what it names may be deleted
    Column("conversation_id", String(64)),
    Column("owner", Text),  # of one that is open, as is what follows
    Column("leased_until_ms", BigInteger),
    Column("input", LargeBinary, nullable=False),  # JSON list of items; so is output
    Column("output", LargeBinary, nullable=False),
    Column("request", LargeBinary),  # nothing is written to it any more
    Column("body", LargeBinary, nullable=False),
    Index("ix_responses_created_at_project_id", "created_at", "project_id"),  # for retention: without the rows
    Index(
        "ix_responses_leased_until_ms",
        "leased_until_ms",
        sqlite_where=text("leased_until_ms IS NOT NULL"),
        postgresql_where=text("leased_until_ms IS NOT NULL"),
    ),
)

# Events of the stream of a background response: a row is a batch of them.
response_events = Table(
    "response_events",
    METADATA,
    Column("response_id", String(64), ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("events", LargeBinary, nullable=False),  # JSON list
)

conversations = Table(
    "conversations",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),  # when items were added last
    Column("item_count", Integer, nullable=False),
    Column("last", BigInteger, nullable=False),  # position of the last one there ever was
    Column("metadata", LargeBinary, nullable=False),  # JSON object
    Index("ix_conversations_used_at_project_id", "used_at", "project_id"),
)

conversation_items = Table(
    "conversation_items",
    METADATA,
    Column("conversation_id", String(64), ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_conversation_items_conversation_id_id", "conversation_id", "id", unique=True),
)
