"""Records in OpenAI's shapes, with Portico's own fields beside. Secrets are in none of them."""

from __future__ import annotations

from typing import Any

from server.call import NO_LIMITS
from server.config import Limit
from server.stores.records import AdminKeyRecord, KeyRecord, ProjectRecord, ServiceAccountRecord

Json = dict[str, Any]


def project_shape(project: ProjectRecord) -> Json:
    return {
        "id": project.id,
        "object": "organization.project",
        "name": project.name,
        "created_at": project.created_at,
        "archived_at": project.archived_at,
        "status": "active" if project.archived_at is None else "archived",
        "weight": project.weight,
        "limits": limits_shape(project.limits),
        "policy": project.policy,
    }


def limits_shape(limits: Limit | None) -> Json | None:
    """Those that are set; None if there are none."""
    return None if limits is None or limits == NO_LIMITS else limits.model_dump(exclude_none=True)


def key_shape(key: KeyRecord, account: ServiceAccountRecord | None) -> Json:
    """`account`: the service account that owns it, if it is still there. Other keys have no owner but the project."""
    grants = key.grants
    return {
        "id": key.id,
        "object": "organization.project.api_key",
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "owner": _owner(key, account),
        "owner_project_access": "active" if key.revoked_at is None else "inactive",
        "project_id": key.project_id,
        "models": None if grants.models is None else list(grants.models),
        "endpoints": None if grants.endpoints is None else list(grants.endpoints),
        "limits": None if grants.limits is None else grants.limits.model_dump(exclude_none=True),
        "priority": grants.priority,
        "reasoning": grants.reasoning,
        "policy": grants.policy,
        "note": grants.note,
    }


def _owner(key: KeyRecord, account: ServiceAccountRecord | None) -> Json:
    if key.service_account_id is None:
        return {"type": "user"}  # OpenAI's word for who is no service account; Portico knows no persons
    if account is None:
        return {"type": "service_account"}
    facts = {"id": account.id, "name": account.name, "created_at": account.created_at, "role": account.role}
    return {"type": "service_account", "service_account": facts}


def account_shape(account: ServiceAccountRecord) -> Json:
    return {
        "id": account.id,
        "object": "organization.project.service_account",
        "name": account.name,
        "role": account.role,
        "created_at": account.created_at,
    }


def account_key_shape(key: KeyRecord, secret: str) -> Json:
    return {
        "id": key.id,
        "object": "organization.project.service_account.api_key",
        "name": key.name,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "value": secret,
    }


def admin_key_shape(key: AdminKeyRecord) -> Json:
    """It is its own owner: Portico knows no persons."""
    return {
        "id": key.id,
        "object": "organization.admin_api_key",
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "owner": {
            "type": "service_account",
            "object": "organization.service_account",
            "id": key.id,
            "name": key.name,
            "created_at": key.created_at,
            "role": "owner",
        },
    }
