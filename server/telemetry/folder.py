"""The folder through which the workers of one parent share their metrics."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

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
            os.close(self._lock)


def _remove_if_left(folder: Path) -> None:
    lock = _locked(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor of the locked folder; None if another process holds it, or if it is not ours.

    The folder itself is locked and not a file in it: what tidies /tmp leaves a locked folder alone.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
