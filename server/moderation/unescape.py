r"""The text within JSON text: `\u0062omb` reads as `bomb`. For the arguments of calls, which come as raw JSON in parts.

Only escapes are resolved; quotes and brackets stay, so what stands in the raw text stands here too. Text that is not
JSON at all is looked at in the same way: a backslash that begins no escape stands for itself.
"""

from __future__ import annotations

from bisect import bisect_right

from server.moderation.matches import Found, Stream

_SIMPLE = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HEX = frozenset("0123456789abcdefABCDEF")
MOST_ESCAPES = 256  # that are remembered without need


class UnescapedStream:
    """A `Stream` of raw JSON text over a `Stream` of the text within it. Offsets are those of the raw text."""

    def __init__(self, inner: Stream) -> None:
        self._inner = inner
        self._raw_end = 0  # of what was fed
        self._waiting = ""  # an escape that is not complete
        self._plain: list[int] = [0]  # behind each escape: the offset in the plain text
        self._raw: list[int] = [0]  # ... and that in the raw text
        self._plain_end = 0

    @property
    def hold_from(self) -> int:
        return min(self._offset(self._inner.hold_from), self._raw_end - len(self._waiting))

    def feed(self, text: str) -> list[Found]:
        self._raw_end += len(text)
        if len(self._plain) > MOST_ESCAPES:
            self._forget()
        if not self._waiting and "\\" not in text:
            self._plain_end += len(text)
            return self._mapped(self._inner.feed(text))
        return self._mapped(self._inner.feed(self._unescaped(self._waiting + text, last=False)))

    def finish(self) -> list[Found]:
        found = self._inner.feed(self._unescaped(self._waiting, last=True)) if self._waiting else []
        return self._mapped(sorted(found + self._inner.finish()))

    def _unescaped(self, text: str, *, last: bool) -> str:
        out: list[str] = []
        at = 0
        while (slash := text.find("\\", at)) >= 0:
            out.append(text[at:slash])
            self._plain_end += slash - at
            size, plain = escape(text, slash, last=last)
            if not size:
                self._waiting = text[slash:]
                return "".join(out)
            out.append(plain)
            self._plain_end += len(plain)
            at = slash + size
            if size != len(plain):
                self._plain.append(self._plain_end)
                self._raw.append(self._raw_end - len(text) + at)
        out.append(text[at:])
        self._plain_end += len(text) - at
        self._waiting = ""
        return "".join(out)

    def _forget(self) -> None:
        """Escapes before whatever can still be told of."""
        known = bisect_right(self._plain, self._inner.hold_from) - 1
        del self._plain[:known], self._raw[:known]

    def _mapped(self, found: list[Found]) -> list[Found]:
        if not found:
            return found
        return [Found(self._offset(one.start), self._offset(one.end), one.pattern) for one in found]

    def _offset(self, plain: int) -> int:
        """In the raw text: where the character at a plain offset begins, and the one before it has ended."""
        index = bisect_right(self._plain, plain) - 1
        return self._raw[index] + plain - self._plain[index]


def escape(text: str, at: int, *, last: bool) -> tuple[int, str]:
    """Size and meaning of the escape that begins at `at`; size 0 where more of it has to come."""
    kind = text[at + 1 : at + 2]
    if not kind and not last:
        return 0, ""
    if kind in _SIMPLE:
        return 2, _SIMPLE[kind]
    return _four_digits(text, at, last=last) if kind == "u" else (1, "\\")


def _four_digits(text: str, at: int, *, last: bool) -> tuple[int, str]:
    r"""The same for `\uXXXX`, of which two may make one character."""
    code = _code(text, at)
    if code is None:
        return (0, "") if not last and _may_be_code(text[at:]) else (1, "\\")
    if 0xD800 <= code < 0xDC00:
        low = _code(text, at + 6)
        if low is not None and 0xDC00 <= low < 0xE000:
            return 12, chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
        if not last and _may_be_code(text[at + 6 :]):
            return 0, ""
    return 6, "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def _code(text: str, at: int) -> int | None:
    digits = text[at + 2 : at + 6]
    good = text[at : at + 2] == "\\u" and len(digits) == 4 and _HEX.issuperset(digits)
    return int(digits, 16) if good else None


def _may_be_code(text: str) -> bool:
    """The beginning of a four-digit escape, of which more has to come."""
    return len(text) < 6 and "\\u".startswith(text[:2]) and _HEX.issuperset(text[2:])
