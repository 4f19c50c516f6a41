"""Compiled expressions: the one place that touches RE2, which never backtracks.

Texts are UTF-8 and so are all offsets here: what RE2 counts are bytes, and its own conversion goes over the text again.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import re2  # pyright: ignore[reportMissingTypeStubs]

_RE2 = cast(Any, re2)  # it has no types
MEMORY = 16 << 20  # bytes, at most, for one expression and the automaton that grows as it meets new text


class _Match(Protocol):
    def span(self) -> tuple[int, int]: ...
    def groups(self) -> tuple[bytes | None, ...]: ...


class _Compiled(Protocol):
    groups: int

    def search(self, text: bytes, pos: int | None = None, endpos: int | None = None) -> _Match | None: ...
    def match(self, text: bytes, pos: int | None = None, endpos: int | None = None) -> _Match | None: ...
    def fullmatch(self, text: bytes, pos: int | None = None, endpos: int | None = None) -> _Match | None: ...


class Expression:
    """Finds the first match. What stands outside of the span that is searched still decides for \\b."""

    def __init__(self, source: str, *, longest: bool = True, captures: bool = False, memory: int = MEMORY) -> None:
        """Raise ValueError if RE2 refuses the source, or would need more memory for it."""
        options = _RE2.Options()
        options.never_capture = not captures
        options.longest_match = longest
        options.log_errors = False
        options.max_mem = memory
        try:
            self._compiled = cast(_Compiled, _RE2.compile(source.encode(), options))
        except _RE2.error as error:
            raise ValueError("RE2 refuses this expression, or it is too large") from error
        _RE2.purge()  # its own cache would keep expressions, and their memory, that no policy uses any more

    @property
    def captures(self) -> int:
        """How many groups it has."""
        return self._compiled.groups

    def search(self, text: bytes, start: int = 0) -> tuple[int, int] | None:
        found = self._compiled.search(text, start)
        return None if found is None else found.span()

    def match(self, text: bytes, start: int, end: int) -> int | None:
        """Where the match from `start` ends that does not go beyond `end`."""
        found = self._compiled.match(text, start, end)
        return None if found is None else found.span()[1]

    def groups(self, text: bytes) -> list[str | None] | None:
        """What the groups took if the whole text matches: None for one that took no part."""
        found = self._compiled.fullmatch(text)
        return None if found is None else [None if one is None else one.decode() for one in found.groups()]


def compiles(source: str) -> bool:
    try:
        Expression(source)
    except ValueError:
        return False
    return True


def utf8(text: str) -> bytes:
    """In code points one to one: halves of surrogate pairs, which UTF-8 cannot hold, become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text).encode()
