"""The engine's log file: a new one when the last has grown, three kept; its end; and what was added to it."""

from __future__ import annotations

from pathlib import Path

ROTATE_AT_BYTES = 10 * 1024 * 1024
KEPT = 3
TAIL_BYTES = 64 * 1024


def rotate(path: Path, at_bytes: int = ROTATE_AT_BYTES, kept: int = KEPT) -> None:
    """Move a log of `at_bytes` or more to path.1, path.1 to path.2, ...; `kept` stay, the current one included."""
    if not path.is_file() or path.stat().st_size < at_bytes:
        return
    numbered = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, kept))]
    for older, newer in zip(reversed(numbered), list(reversed(numbered))[1:], strict=False):
        if newer.exists():
            newer.replace(older)


class Follower:
    """Reads what is added to a log from where it ended when this was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.start = self._at = path.stat().st_size if path.is_file() else 0
        self._rest = b""

    def lines(self) -> list[str]:
        """Complete lines added since the last call."""
        added = read_from(self._path, self._at)
        self._at += len(added)
        *lines, self._rest = (self._rest + added).replace(b"\r", b"\n").split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def tail(self) -> str:
        """The end of what was added since the beginning."""
        return read_from(self._path, max(self.start, self._at - TAIL_BYTES)).decode(errors="replace")


def read_from(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except OSError:
        return b""
