"""The folder through which the workers of one parent share their metrics."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import IO

PREFIX = "portico-metrics-"


class MetricsFolder:
    """Held by a lock for as long as its parent lives. Making one also clears away those of parents that were killed."""

    def __init__(self) -> None:
        for old in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _remove_if_left(old)
        unlocked = Path(tempfile.mkdtemp(prefix="." + PREFIX))  # a name that no other parent takes for left behind
        self._lock = _locked(unlocked)
        self.path = unlocked.rename(unlocked.with_name(unlocked.name[1:]))

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def _remove_if_left(folder: Path) -> None:
    lock = _locked(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _locked(folder: Path) -> IO[bytes] | None:
    """None if another process holds it, or if it is not ours."""
    try:
        lock = (folder / "lock").open("ab")
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock
