"""The head of an HTTP message that came before: who sends the same one again and again need not have it parsed again.

Pure. A parser has accepted these bytes; another message with the same ones, but for the digits of its content-length,
means the same. Whatever differs in a single other byte goes to the parser.
"""

from __future__ import annotations

MOST_DIGITS = 10
END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"


class KnownHead:
    """Of a message whose length is told by its one content-length."""

    __slots__ = ("_body_from", "_digits_from", "_front", "_rest")

    def __init__(self, head: bytes, digits_from: int, digits_to: int) -> None:
        self._front = head[:digits_from]
        self._rest = head[digits_to:]
        self._digits_from = digits_from
        self._body_from = len(self._rest)

    @classmethod
    def of(cls, message: bytes) -> KnownHead | None:
        """From a message that a parser has read: one, and whole. None if its head says its length in another way."""
        end = message.find(END)
        if end < 0:
            return None
        head = message[: end + len(END)]
        lower = head.lower()
        if head.count(b"\n") != head.count(b"\r\n") or b"\r\nupgrade:" in lower:
            return None
        if lower.count(LENGTH) != 1 or b"\r\ntransfer-encoding:" in lower:
            return None
        digits_from = lower.find(LENGTH) + len(LENGTH)
        while head[digits_from : digits_from + 1] in (b" ", b"\t"):
            digits_from += 1
        digits_to = head.find(b"\r\n", digits_from)
        if not _is_length(head[digits_from:digits_to]) or len(message) != len(head) + int(head[digits_from:digits_to]):
            return None
        return cls(head, digits_from, digits_to)

    def body(self, message: bytes) -> bytes | None:
        """That of a message with this head, if `message` is one, and whole."""
        if not message.startswith(self._front):
            return None
        digits_to = message.find(b"\r\n", self._digits_from, self._digits_from + MOST_DIGITS + 2)
        if digits_to < 0 or not message.startswith(self._rest, digits_to):
            return None
        digits = message[self._digits_from : digits_to]
        start = digits_to + self._body_from
        if not _is_length(digits) or len(message) != start + int(digits):
            return None
        return message[start:]


def _is_length(digits: bytes) -> bool:
    return digits.isdigit() and len(digits) <= MOST_DIGITS
