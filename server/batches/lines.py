"""From the bytes of an input to its lines, a little at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from server.stores.files import Reader

READ_BYTES = 262_144
BOM = b"\xef\xbb\xbf"
Numbered = tuple[int, bytes | None]
"""The number of a line, from 1, and its text; None for one that is too long."""


class Splitter:
    """`feed` and then `end`. Empty lines count and are passed over. Holds one line at most, of `longest` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._number = 0
        self._rest = b""
        self._too_long = False
        self._begun = False

    def feed(self, data: bytes) -> list[Numbered]:
        """The lines that are complete now."""
        if not self._begun and len(self._rest) + len(data) >= len(BOM):
            self._begun = True
            self._rest, data = b"", (self._rest + data).removeprefix(BOM)
        *whole, rest = (self._rest + data).split(b"\n")
        found = [line for text in whole if (line := self._line(text)) is not None]
        self._rest = rest
        if len(rest) > self._longest:
            self._too_long, self._rest = True, b""
        return found

    def end(self) -> list[Numbered]:
        """The last line, if no line feed ended it."""
        last, self._rest = self._rest.removeprefix(b"" if self._begun else BOM), b""
        line = self._line(last)
        return [] if line is None else [line]

    def _line(self, text: bytes) -> Numbered | None:
        self._number += 1
        too_long, self._too_long = self._too_long or len(text) > self._longest, False
        if too_long:
            return self._number, None
        text = text.strip(b" \t\r")
        return (self._number, text) if text else None


async def lines_of(reader: Reader, longest: int) -> AsyncGenerator[Numbered]:
    """Raises `StoreDown`."""
    splitter = Splitter(longest)
    while data := await reader.read(READ_BYTES):
        for line in splitter.feed(data):
            yield line
    for line in splitter.end():
        yield line
