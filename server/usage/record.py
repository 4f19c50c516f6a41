"""From a call to its usage record."""

from __future__ import annotations

from time import time

from server.call import Call
from server.stores.records import UsageRecord

LOST = "lost"
"""The outcome of a call in whose middle its worker was killed."""


def record_of(call: Call) -> UsageRecord:
    """Of a call that has ended."""
    tokens = call.used()
    first, received = call.first_token, call.received
    return UsageRecord(
        call.id,
        time(),
        call.key.project.id,
        call.key.id,
        call.model.id,
        call.endpoint,
        call.priority,
        call.outcome,
        call.status,
        tokens.prompt,
        tokens.cached,
        tokens.completion,
        tokens.reasoning,
        call.model.cost(tokens.prompt, tokens.completion, tokens.cached),
        call.queued_s * 1000,
        None if first is None else (first - received) * 1000,
        0.0 if call.finished is None else (call.finished - received) * 1000,
        call.decisions,
    )


def lost_record_of(call: Call) -> UsageRecord:
    """Of a call that goes to an engine now: what counts if its worker is killed before it ends."""
    prompt = call.prompt
    return UsageRecord(
        call.id,
        time(),
        call.key.project.id,
        call.key.id,
        call.model.id,
        call.endpoint,
        call.priority,
        LOST,
        0,
        prompt,
        0,
        0,
        0,
        call.model.cost(prompt),
        call.queued_s * 1000,
        decisions=call.decisions,
    )
