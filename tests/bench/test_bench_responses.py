"""The reader of a response's stream, and what the table says of it."""

from __future__ import annotations

import pytest

from bench.client import Fault
from bench.responses import CHAT, GONE_ON, PASSED_ON, STORED, Events, Line, report

CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1","status":"queued"}}\n\n'
DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
ENDED = b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1"}}\n\n'


def test_the_first_delta_is_timed_however_the_bytes_come() -> None:
    reader = Events()
    reader.feed(CREATED + DELTA[:20], 1.0)
    reader.feed(DELTA[20:], 2.0)
    reader.feed(DELTA + ENDED, 3.0)
    reader.finish()
    assert (reader.times, reader.ended, reader.id) == ([2.0, 3.0], 3.0, "resp_1")


@pytest.mark.parametrize("events", [CREATED + DELTA, CREATED + ENDED, b""])
def test_a_stream_without_text_or_end_is_a_fault(events: bytes) -> None:
    reader = Events()
    reader.feed(events, 1.0)
    with pytest.raises(Fault, match="a response that ends with"):
        reader.finish()


def test_the_bar() -> None:
    firsts = {CHAT: 2.0, PASSED_ON: 2.5, STORED: 3.0, GONE_ON: 3.5}
    text = report({name: Line([first] * 3, [9.0] * 3) for name, first in firsts.items()})
    assert "response, stored: 1.00 ms after a chat's (bar 1): met" in text
    assert "goes on from another: 1.50 ms after a chat's (bar 1): MISSED" in text
