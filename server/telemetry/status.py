"""What goes on now, for `portico status`: each worker writes it into the metrics folder, the parent serves it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

EVERY_S = 1.0
Facts = dict[str, Any]


def _path(folder: Path, seat: int) -> Path:
    return folder / f"status-{seat}.json"


class StatusFile:
    """Written anew once a second, whole or not at all; `facts` are plain values without secrets or text of users."""

    def __init__(self, folder: Path, seat: int, facts: Callable[[], Facts]) -> None:
        self._path = _path(folder, seat)
        self._facts = facts
        self._written = 0.0

    def tick(self, now: float) -> None:
        """Called by the watchdog."""
        if now - self._written < EVERY_S:
            return
        self._written = now
        beside = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk must not end the service; the status is then old
            beside.write_bytes(msgspec.json.encode(self._facts()))
            beside.replace(self._path)


def forget_status(folder: Path, seat: int) -> None:
    """That worker has ended."""
    with contextlib.suppress(OSError):
        _path(folder, seat).unlink(missing_ok=True)


def read_status(folder: Path) -> bytes:
    """JSON: `{"workers": [...]}`, in the order of their numbers."""
    found: list[msgspec.Raw] = []
    for path in sorted(folder.glob("status-*.json"), key=lambda path: int(path.stem.partition("-")[2])):
        with contextlib.suppress(OSError):  # a worker is just starting again
            found.append(msgspec.Raw(path.read_bytes()))
    return msgspec.json.encode({"workers": found})
