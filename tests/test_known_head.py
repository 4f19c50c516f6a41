"""Heads that came before, against the parser that read them first."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.known_head import KnownHead

LINE = b"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\n"
HEAD = LINE + b"Content-Length: %d\r\nauthorization: Bearer k\r\n\r\n"


class Parsed:
    """What httptools makes of some bytes: the messages that are whole, and whether it would read on."""

    def __init__(self, data: bytes) -> None:
        self.bodies: list[bytes] = []
        self.broken = False
        self._body = b""
        parser: Any = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.broken = True

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.bodies.append(self._body)


def message(body: bytes, head: bytes = HEAD) -> bytes:
    return head % len(body) + body


def known(body: bytes = b"{}") -> KnownHead:
    head = KnownHead.of(message(body))
    assert head is not None
    return head


@pytest.mark.parametrize("body", [b"", b"{}", b"a" * 12_345, b"\r\n\r\ncontent-length: 7\r\n"])
def test_the_body_of_another_message_with_this_head(body: bytes) -> None:
    assert known().body(message(body)) == body
    assert known(b"\r\n\r\n").body(message(body)) == body


@pytest.mark.parametrize(
    "other",
    [
        b"",
        message(b"{}")[:-1],
        message(b"{}") + b"{",
        message(b"{}") + message(b"{}"),
        message(b"{}").replace(b"Bearer k", b"Bearer K"),
        message(b"{}").replace(b"POST", b"post"),
        message(b"{}").replace(b"Content-Length: 2", b"Content-Length: 2 "),
        message(b"{}").replace(b"Content-Length: 2", b"Content-Length: +2"),
        message(b"{}").replace(b"Content-Length: 2", b"Content-Length:  2"),
        message(b"{}").replace(b"Content-Length: 2", b"Content-Length: "),
        message(b"{}").replace(b"Content-Length: 2", b"Content-Length: 00000000002"),
        message(b"{}").replace(b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"),
        message(b"{}").replace(b"Content-Length: 2", "Content-Length: ²".encode()),
    ],
)
def test_whatever_differs_is_for_the_parser(other: bytes) -> None:
    assert known().body(other) is None


@pytest.mark.parametrize(
    "head",
    [
        LINE + b"\r\n",
        LINE + b"transfer-encoding: chunked\r\n\r\n",
        LINE + b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n",
        LINE + b"content-length: %d\r\ncontent-length: 2\r\n\r\n",
        LINE + b"content-length: %d\r\nupgrade: h2c\r\n\r\n",
        LINE + b"content-length: %d \r\n\r\n",
        LINE + b"x: a\ncontent-length: %d\r\n\r\n",
    ],
)
def test_heads_that_are_not_kept(head: bytes) -> None:
    assert KnownHead.of(head % 2 + b"{}" if b"%d" in head else head + b"{}") is None


def test_messages_that_are_not_whole_teach_nothing() -> None:
    assert KnownHead.of(message(b"{}")[:-1]) is None
    assert KnownHead.of(message(b"{}") + b" ") is None
    assert KnownHead.of(LINE) is None


PIECES = st.lists(
    st.sampled_from((b"\r\n", b"\n", b"Content-Length: ", b"content-length:", b"2", b"0", b" ", b"x: y", b"{}", b"\t")),
    max_size=12,
).map(b"".join)


@given(PIECES, PIECES, st.integers(0, 60), st.integers(0, 60))
@example(b"\r\nx: y", b"", 0, 0)
def test_what_it_reads_the_parser_reads_too(first: bytes, second: bytes, cut: int, more: int) -> None:
    """Whatever was learned from, and whatever comes then."""
    learned = HEAD % 2 + b"{}" if not first else LINE + first + b"\r\n\r\n" + second
    parsed = Parsed(learned)
    head = None if parsed.broken or len(parsed.bodies) != 1 else KnownHead.of(learned)
    if head is None:
        return
    for data in (learned, learned[: len(learned) - cut], learned + b"x" * more, LINE + second + b"\r\n\r\n" + first):
        body = head.body(data)
        if body is not None:
            again = Parsed(data)
            assert not again.broken
            assert again.bodies == [body]
