"""W3C Trace Context, https://www.w3.org/TR/trace-context/: the header `traceparent`. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_HEADER = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 0x01


class Parent(NamedTuple):
    """The span of whoever calls."""

    trace_id: str
    span: str
    sampled: bool


def parse_traceparent(header: bytes | None) -> Parent | None:
    """None where there is no valid one. Of a version that is not known yet, what version 00 has."""
    match = _HEADER.fullmatch(header) if header is not None else None
    if match is None:
        return None
    version, trace_id, span, flags, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest is not None) or not trace_id.strip(b"0") or not span.strip(b"0"):
        return None
    return Parent(trace_id.decode(), span.decode(), bool(int(flags, 16) & _SAMPLED))


def trace_id_of(header: bytes | None) -> str | None:
    parent = parse_traceparent(header)
    return None if parent is None else parent.trace_id
