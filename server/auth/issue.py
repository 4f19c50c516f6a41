"""New keys: the record that is kept, and the secret that is shown once. Pure but for the random bits."""

from __future__ import annotations

import secrets

from server.auth.secrets import new_secret
from server.stores.records import NO_GRANTS, AdminKeyRecord, KeyGrants, KeyRecord, ServiceAccountRecord


def new_id(prefix: str) -> str:
    """An id of ours, such as `key_1f...`: unique, not secret."""
    return f"{prefix}_{secrets.token_hex(12)}"


def issue_key(
    tag_key: bytes,
    now: int,
    project_id: str,
    name: str,
    grants: KeyGrants = NO_GRANTS,
    *,
    expires_at: int | None = None,
    service_account_id: str | None = None,
) -> tuple[KeyRecord, str]:
    """A key of a project, and its secret. Times are Unix seconds."""
    made = new_secret("key", tag_key)
    record = KeyRecord(
        id=new_id("key"),
        project_id=project_id,
        name=name,
        lookup=made.lookup,
        digest=made.digest,
        redacted=made.redacted,
        created_at=now,
        grants=grants,
        service_account_id=service_account_id,
        expires_at=expires_at,
    )
    return record, made.secret


def issue_successor(tag_key: bytes, now: int, old: KeyRecord) -> tuple[KeyRecord, str]:
    """A key that may do what `old` may, and lives as long as that was given, from now."""
    lifetime = None if old.expires_at is None else max(1, old.expires_at - old.created_at)
    return issue_key(
        tag_key,
        now,
        old.project_id,
        old.name,
        old.grants,
        expires_at=None if lifetime is None else now + lifetime,
        service_account_id=old.service_account_id,
    )


def issue_admin_key(tag_key: bytes, now: int, name: str, expires_at: int | None = None) -> tuple[AdminKeyRecord, str]:
    made = new_secret("admin", tag_key)
    record = AdminKeyRecord(new_id("key"), name, made.lookup, made.digest, made.redacted, now, expires_at)
    return record, made.secret


def new_service_account(now: int, project_id: str, name: str) -> ServiceAccountRecord:
    return ServiceAccountRecord(new_id("svc_acct"), project_id, name, now)
