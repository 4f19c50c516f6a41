"""What is kept of a decision: its record in the log of decisions. Never the text, but for sealed excerpts of it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from server.call import Key
from server.moderation.decisions import Decision, Excerpt
from server.stores.base import StoreError
from server.stores.records import Actor, AuditRecord
from server.stores.sealing import Sealing


def record_of(decision: Decision, key: Key, number: int, at: int, sealing: Sealing | None) -> AuditRecord:
    """The `number`-th decision about its call, which `key` made; `at` in Unix seconds. The store numbers and links it.

    Its id is that of the call and the number: written twice, it is there once. Excerpts are kept sealed, bound to that
    id, or not at all.
    """
    name = f"{decision.call_id}-{number}"
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
    if decision.excerpts and sealing is not None:
        details["excerpts"] = _sealed(decision.excerpts, name, sealing)
    return AuditRecord(
        seq=0,
        id=name,
        at=at,
        event=f"moderation.{decision.action}",
        actor=Actor("key", key.id, key.name),
        project_id=decision.project_id,
        subject_id=decision.call_id,
        details=details,
        previous="",
        hash="",
    )


def excerpts_in(record: AuditRecord, sealing: Sealing) -> list[Excerpt]:
    """None where none were kept. Raises `UnknownKey`; `StoreError` for what was changed or stands in another record."""
    sealed = record.details.get("excerpts")
    if not sealed:
        return []
    try:
        found: list[Any] = json.loads(sealing.unseal(b64decode(sealed), _place(record.id)))
        return [Excerpt(*one) for one in found]
    except (ValueError, TypeError):
        raise StoreError(f"the excerpts of {record.id} are not as they were written") from None


def _sealed(excerpts: Sequence[Excerpt], name: str, sealing: Sealing) -> str:
    """Half of a surrogate pair is text too, and JSON in ASCII has it."""
    text = json.dumps([msgspec.structs.astuple(one) for one in excerpts])
    return b64encode(sealing.seal(text.encode(), _place(name))).decode()


def _place(name: str) -> str:
    return f"decision/{name}/excerpts"
