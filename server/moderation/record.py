"""What is kept of a decision: its record in the log of decisions. Never the text."""

from __future__ import annotations

import msgspec

from server.call import Key
from server.moderation.decisions import Decision
from server.stores.records import Actor, AuditRecord


def record_of(decision: Decision, key: Key, number: int, at: int) -> AuditRecord:
    """The `number`-th decision about its call, which `key` made; `at` in Unix seconds. The store numbers and links it.

    Its id is that of the call and the number: written twice, it is there once.
    """
    details = {
        "policy": decision.policy,
        "version": decision.policy_version,
        "hash": decision.policy_hash,
        "direction": decision.direction,
        "matches": [msgspec.structs.asdict(one) for one in decision.matches],
        "more": decision.more,
        "scanned": dict(decision.scanned),
        "judged": {name: msgspec.structs.asdict(seen) for name, seen in decision.judged.items()},
        "look_ms": decision.ms,
        "judge_ms": decision.judge_ms,
        "hmac": decision.text_hmac,
    }
    return AuditRecord(
        seq=0,
        id=f"{decision.call_id}-{number}",
        at=at,
        event=f"moderation.{decision.action}",
        actor=Actor("key", key.id, key.name),
        project_id=decision.project_id,
        subject_id=decision.call_id,
        details=details,
        previous="",
        hash="",
    )
