"""`traceparent`, by the examples and rules of W3C Trace Context."""

from __future__ import annotations

import pytest

from server.telemetry.trace_context import Parent, parse_traceparent, trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("flags", "rest", "version", "sampled"),
    [
        ("01", "", "00", True),
        ("00", "", "00", False),
        ("03", "", "00", True),
        ("02", "", "00", False),
        ("01", "-what-comes-later", "cc", True),
        ("01", "", "cc", True),
    ],
)
def test_valid(flags: str, rest: str, version: str, sampled: bool) -> None:
    header = f"{version}-{TRACE}-{SPAN}-{flags}{rest}".encode()
    assert parse_traceparent(header) == Parent(TRACE, SPAN, sampled)
    assert trace_id_of(header) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        f"00-{TRACE}-{SPAN}".encode(),
        f"00-{TRACE}-{SPAN}-01-more".encode(),
        f"cc-{TRACE}-{SPAN}-01more".encode(),
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE[1:]}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-0g".encode(),
        f"00-{TRACE}-{SPAN}-01\n".encode(),
        f" 00-{TRACE}-{SPAN}-01".encode(),
        b"\xff" * 55,
    ],
)
def test_invalid(header: bytes | None) -> None:
    assert parse_traceparent(header) is None
