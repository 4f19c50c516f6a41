"""Who owns what in the spool: a folder for each worker, locked for as long as that process lives.

Workers are not told apart by their number: the folders of killed ones, of those that are no longer configured and of
another Portico on the same spool are the same thing, a folder that nobody holds. Whoever finds it takes it over.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

LOCK = "lock"
PREFIX = "worker-"


class SpoolError(Exception):
    """The spool cannot be used; the text is one line for a person."""


class Folder:
    """One worker's. Held until `release` or `remove`, or until the process is gone."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def segments(self) -> list[Path]:
        """In the order in which they were written."""
        return sorted(self.path.glob("*.usage"))

    def release(self) -> None:
        """Leave what is in it to the next one."""
        os.close(self._lock)

    def remove(self) -> None:
        """With its segments. Raises `OSError`."""
        try:
            for segment in self.segments():
                segment.unlink()
            (self.path / LOCK).unlink()
            self.path.rmdir()
        finally:
            self.release()


def make(spool: Path) -> Folder:
    """A folder of our own. Raises `SpoolError`."""
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = spool / f"{PREFIX}{secrets.token_hex(8)}"
            path.mkdir(mode=0o700)
            folder = hold(path)
            if folder is not None:  # else somebody took it for abandoned, between its making and its lock
                return folder
    except OSError as error:
        raise unusable(spool, error) from None


def unusable(spool: Path, error: OSError) -> SpoolError:
    return SpoolError(
        f"The usage spool {spool} cannot be used: {(error.strerror or str(error)).lower()}. "
        "Set stores.spool to a folder that Portico may write to."
    )


def hold(path: Path) -> Folder | None:
    """None if another process holds it, or if it is gone. Raises `OSError`."""
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (path / LOCK).stat().st_ino == os.fstat(lock).st_ino:
            return Folder(path, lock)
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(lock)
        raise
    os.close(lock)
    return None


def abandoned(spool: Path) -> list[Folder]:
    """Takes hold of every folder whose worker is gone; those that cannot be opened are passed over."""
    found: list[Folder] = []
    for path in sorted(spool.glob(f"{PREFIX}*")):
        try:
            folder = hold(path)
        except OSError:  # another user's, or for now
            continue
        if folder is not None:
            found.append(folder)
    return found
