"""Policies of projects, the log of moderation decisions, what retention needs.

The ends of chains move from `state` to a table of their own: there are two chains now, and each may be cut.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("projects", sa.Column("policy", sa.Text))
    _chains()
    _decisions()
    op.create_table(
        "duties",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("free_at", sa.BigInteger, nullable=False),
    )


def _chains() -> None:
    before = op.get_bind().execute(sa.text("SELECT secret, audit_seq, audit_hash FROM state")).one()
    op.drop_table("state")  # made anew: SQLite learned to drop columns in 2021 only
    state = op.create_table(
        "state",
        sa.Column("id", sa.SmallInteger, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(state, [{"id": 1, "secret": before.secret}])
    chains = op.create_table(
        "chains",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("cut_seq", sa.BigInteger, nullable=False),
        sa.Column("cut_hash", sa.String(64), nullable=False),
    )
    start = {"seq": 0, "hash": "0" * 64, "cut_seq": 0, "cut_hash": "0" * 64}
    audit = start | {"name": "audit", "seq": before.audit_seq, "hash": before.audit_hash}
    op.bulk_insert(chains, [audit, start | {"name": "decisions"}])


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("actor_name", sa.Text, nullable=False),
        sa.Column("project_id", sa.Text),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("ix_decisions_at", "decisions", ["at"])
    op.create_index("ix_decisions_project_id_seq", "decisions", ["project_id", "seq"])
