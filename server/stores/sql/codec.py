"""Records to rows and back. What no query looks into (limits, grants, details) is JSON in a text column."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError
from sqlalchemy import RowMapping

from server.config import Limit
from server.stores.base import StoreError
from server.stores.records import (
    Actor,
    AdminKeyRecord,
    AuditRecord,
    KeyGrants,
    KeyRecord,
    ProjectRecord,
    ServiceAccountRecord,
)
from server.stores.sql import tables

T = TypeVar("T")


def plain(value: Any) -> Any:
    """As what JSON knows: limits without those that are not set."""
    return msgspec.to_builtins(value, enc_hook=_of_limit)


def to_json(value: Any) -> str:
    """Canonical: keys sorted, no spaces."""
    return msgspec.json.encode(value, enc_hook=_of_limit, order="sorted").decode()


def from_json(text: str, kind: type[T]) -> T:
    """Raises `StoreError` if it is not one."""
    try:
        return msgspec.json.decode(text, type=kind, dec_hook=_to_limit)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the database holds a record that this version cannot read: {error}") from None


def _of_limit(value: Any) -> Any:
    if isinstance(value, Limit):
        return value.model_dump(exclude_none=True)
    raise NotImplementedError(type(value).__name__)


def _to_limit(_kind: type[Any], value: Any) -> Any:
    try:
        return Limit.model_validate(value)
    except ValidationError:
        raise ValueError("not a limit") from None


def project_row(record: ProjectRecord) -> dict[str, Any]:
    limits = {"limits": to_json(record.limits), "model_limits": to_json(record.model_limits)}
    return msgspec.structs.asdict(record) | limits


def to_project(row: RowMapping) -> ProjectRecord:
    of = tables.projects.c
    return ProjectRecord(
        row[of.id],
        row[of.name],
        row[of.created_at],
        row[of.archived_at],
        row[of.weight],
        from_json(row[of.limits], Limit),
        from_json(row[of.model_limits], dict[str, Limit]),
        row[of.policy],
    )


def key_row(record: KeyRecord) -> dict[str, Any]:
    return msgspec.structs.asdict(record) | {"grants": to_json(record.grants)}


def to_key(row: RowMapping) -> KeyRecord:
    of = tables.keys.c
    return KeyRecord(
        row[of.id],
        row[of.project_id],
        row[of.name],
        row[of.lookup],
        row[of.digest],
        row[of.redacted],
        row[of.created_at],
        from_json(row[of.grants], KeyGrants),
        row[of.service_account_id],
        row[of.expires_at],
        row[of.revoked_at],
        row[of.last_used_at],
    )


def to_service_account(row: RowMapping) -> ServiceAccountRecord:
    of = tables.service_accounts.c
    return ServiceAccountRecord(row[of.id], row[of.project_id], row[of.name], row[of.created_at], row[of.role])


def to_admin_key(row: RowMapping) -> AdminKeyRecord:
    of = tables.admin_keys.c
    return AdminKeyRecord(
        row[of.id],
        row[of.name],
        row[of.lookup],
        row[of.digest],
        row[of.redacted],
        row[of.created_at],
        row[of.expires_at],
        row[of.last_used_at],
    )


def audit_row(record: AuditRecord) -> dict[str, Any]:
    row = msgspec.structs.asdict(record)
    actor: Actor = row.pop("actor")
    who = {"actor_kind": actor.kind, "actor_id": actor.id, "actor_name": actor.name}
    return row | who | {"details": to_json(record.details)}


def to_audit(row: RowMapping) -> AuditRecord:
    """Of any of the chained logs."""
    return AuditRecord(
        row["seq"],
        row["id"],
        row["at"],
        row["event"],
        Actor(row["actor_kind"], row["actor_id"], row["actor_name"]),
        row["project_id"],
        row["subject_id"],
        from_json(row["details"], dict[str, Any]),
        row["previous"],
        row["hash"],
    )
