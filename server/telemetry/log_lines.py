"""The lines of the request log, in the order of their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct


class CallLine(Struct):
    """The line of a call, in the order of its keys. Times in milliseconds, `ts` in Unix seconds."""

    ts: float
    msg: str
    id: str
    trace_id: str | None
    client_id: str | None
    key: str
    endpoint: str
    model: str
    engine: str | None
    status: int
    outcome: str
    stream: bool
    ms: float
    ttft_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    estimated: bool  # the tokens, for the engine does not count them
    retries: int


class RefusalLine(Struct):
    """The line of a request that did not become a call."""

    ts: float
    msg: str
    id: str
    trace_id: str | None
    endpoint: str
    status: int
    outcome: str
    ms: float


class MatchLine(Struct):
    rule: str
    category: str
    tier: str
    action: str
    where: str
    start: int
    end: int


class DecisionLine(Struct):
    """The line of what a policy did to a call. `hmac` is over all text that was seen; never the text."""

    ts: float
    msg: str
    id: str
    trace_id: str | None
    project: str
    key: str
    policy: str
    version: int
    hash: str
    direction: str
    action: str
    matches: Sequence[MatchLine]
    more: int
    scanned: Mapping[str, int]
    look_ms: float
    hmac: str
