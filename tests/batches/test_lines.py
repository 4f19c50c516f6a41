from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.batches.lines import Numbered, Splitter


def split(data: bytes, cuts: int, longest: int = 1000) -> list[Numbered]:
    splitter = Splitter(longest)
    found = [line for at in range(0, len(data), cuts) for line in splitter.feed(data[at : at + cuts])]
    return found + splitter.end()


@given(
    st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"").strip(b" \t\r"))),
    st.integers(1, 30),
    st.booleans(),
)
def test_lines_come_back_in_any_pieces(lines: list[bytes], cuts: int, ended: bool) -> None:
    lines = [line for line in lines if not line.startswith(b"\xef")]
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    assert split(data, cuts) == [(number, line) for number, line in enumerate(lines, 1) if line]


@given(st.integers(1, 30))
def test_what_is_too_long_is_not_held(cuts: int) -> None:
    data = b"ab\n" + b"x" * 50 + b"\ncd\n" + b"y" * 11
    assert split(data, cuts, longest=10) == [(1, b"ab"), (2, None), (3, b"cd"), (4, None)]


@given(st.integers(1, 9))
def test_a_byte_order_mark_windows_line_ends_and_empty_lines(cuts: int) -> None:
    assert split(b"\xef\xbb\xbf{}\r\n\r\n  \n[]\r\n", cuts) == [(1, b"{}"), (4, b"[]")]


def test_nothing() -> None:
    assert split(b"", 1) == split(b"\n", 1) == split(b"\xef\xbb\xbf", 1) == []
