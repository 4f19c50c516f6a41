"""What the durable store holds, as plain values. Times are Unix seconds, ids are ours and opaque."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from server.call import NO_LIMITS
from server.config import Limit, PriorityClass


class Actor(Struct, frozen=True):
    """Who makes a change: an admin key, somebody at the command line, or Portico itself. Or the key that calls."""

    kind: Literal["admin_key", "command_line", "key", "system"]
    id: str  # of the admin key or key, or the operating system's user name
    name: str = ""


class ProjectRecord(Struct, frozen=True):
    id: str  # proj_...
    name: str
    created_at: int
    archived_at: int | None = None
    weight: float = 1.0
    limits: Limit = NO_LIMITS
    model_limits: dict[str, Limit] = field(default_factory=dict[str, Limit])
    policy: str | None = None  # name of a moderation policy


class ServiceAccountRecord(Struct, frozen=True):
    id: str  # svc_acct_...
    project_id: str
    name: str
    created_at: int
    role: Literal["member", "owner", "none"] = "member"


class KeyGrants(Struct, frozen=True):
    """What a key may do; None: no restriction, or what the server says."""

    models: tuple[str, ...] | None = None
    endpoints: tuple[str, ...] | None = None
    limits: Limit | None = None
    priority: PriorityClass = "standard"
    reasoning: Literal["shown", "hidden"] | None = None
    policy: str | None = None
    note: str = ""


NO_GRANTS = KeyGrants()


class KeyRecord(Struct, frozen=True):
    id: str  # key_...
    project_id: str
    name: str
    lookup: str  # the public part of the secret, by which it is found; unique
    digest: str  # SHA-256 of the whole secret, hexadecimal
    redacted: str  # what may be shown, as "sk-portico-abcd...wxyz"
    created_at: int
    grants: KeyGrants = NO_GRANTS
    service_account_id: str | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None


class AdminKeyRecord(Struct, frozen=True):
    id: str  # key_...
    name: str
    lookup: str
    digest: str
    redacted: str
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None


class AuditRecord(Struct, frozen=True):
    """One change, or one decision of moderation (its subject is the call, its actor the call's key).

    `hash` is SHA-256 over the record and the hash of the one before it (stores/chain.py).
    """

    seq: int  # 1, 2, 3, ... without gaps
    id: str  # audit_log-...
    at: int
    event: str  # OpenAI's names where there is one: project.created, api_key.created, ...
    actor: Actor
    project_id: str | None
    subject_id: str
    details: dict[str, Any]  # what was asked for; never a secret or a digest
    previous: str
    hash: str


class ChainEnds(Struct, frozen=True):
    """Where a chained log ends, and up to which record it was cut: 0 and `chain.START` where it never was."""

    seq: int  # of the last record there ever was
    hash: str
    cut_seq: int
    cut_hash: str


class UsageRecord(Struct, frozen=True, array_like=True, gc=False):
    """One call that has ended. `cost` in millionths of the unit of the prices.

    The usage spool keeps it by the order of its fields: add new ones at the end, with a default.
    """

    call_id: str  # unique: adding it twice counts it once
    at: float  # when it ended
    project_id: str
    key_id: str
    model: str
    endpoint: str
    priority: PriorityClass
    outcome: str
    status: int
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    cost: int = 0
    queued_ms: float = 0.0
    first_token_ms: float | None = None
    duration_ms: float = 0.0
    decisions: tuple[AuditRecord, ...] = ()  # of moderation, not numbered and linked yet; unique by their id


class UsageTotal(Struct, frozen=True):
    """A sum over usage records. What was not grouped by is None. `requests` are those that reached an engine, and
    those that were answered without one.
    """

    start: int  # of the time bucket
    project_id: str | None
    key_id: str | None
    model: str | None
    requests: int
    prompt: int
    cached: int
    completion: int
    reasoning: int
    cost: int
