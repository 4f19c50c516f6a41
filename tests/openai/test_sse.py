"""Framing: however the bytes are cut, the same payloads come out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.openai import sse
from server.openai.sse import SseDecoder

PAYLOAD = st.binary(min_size=1, max_size=30).filter(lambda b: b"\n" not in b and b"\r" not in b and b[:1] != b" ")
CUTS = st.lists(st.integers(0, 400), max_size=20)


def fed(data: bytes, cuts: list[int]) -> list[bytes]:
    decoder, payloads, start = SseDecoder(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        payloads += decoder.feed(data[start:cut])
        start = max(start, cut)
    return payloads


@given(st.lists(PAYLOAD, max_size=8), CUTS, st.sampled_from([b"\n", b"\r\n"]), st.sampled_from([b"", b" "]))
def test_any_cut(payloads: list[bytes], cuts: list[int], newline: bytes, space: bytes) -> None:
    data = b"".join(b"data:" + space + payload + newline * 2 for payload in payloads)
    assert fed(data, cuts) == payloads


@given(CUTS)
def test_other_fields_are_dropped(cuts: list[int]) -> None:
    data = (
        b": comment\n\nevent: x\nid: 1\ndata: a\nretry: 5\n\n\n\ndata: b\ndata: c\n\n: ping\n\ndata: d\n\nevent: y\n\n"
    )
    assert fed(data, cuts) == [b"a", b"b\nc", b"d"]


def test_an_event_that_is_not_ended_is_no_event() -> None:
    assert fed(b"data: a\n\ndata: b", []) == [b"a"]


def test_an_event_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    decoder = SseDecoder()
    decoder.feed(b"data: " + b"x" * 90)
    with pytest.raises(ValueError, match="without end"):
        decoder.feed(b"x" * 10)
