"""Which projects have a name of their own in the metrics: the first so many, the same in all workers."""

from __future__ import annotations

import fcntl
from pathlib import Path

OTHER = "other"


class ProjectNames:
    """At most `most` names; every further project is `OTHER`.

    With a `file`, that is shared by the workers of one parent: one line for each name, in the order of their coming. So
    several workers, and those that are started again, have no more names together than one has.
    """

    def __init__(self, most: int, file: Path | None = None) -> None:
        self._most = most
        self._file = file
        self._names: dict[str, str] = {}
        self._full = most == 0

    def of(self, project: str) -> str:
        """The value of the label. Touches the file once for each project, and never again when all names are given."""
        name = self._names.get(project)
        if name is not None:
            return name
        if self._full:
            return OTHER
        self._give(project)
        return self._names.get(project, OTHER)

    def _give(self, project: str) -> None:
        given: list[str] | None = [*self._names, project]
        if self._file is not None:
            given = _shared(self._file, project, self._most)
        if given is None:
            self._full = True
            return
        self._names = {one: one for one in given[: self._most]}
        self._full = len(self._names) >= self._most


def _shared(file: Path, project: str, most: int) -> list[str] | None:
    """All names, with that of `project` if there was room; None where the file cannot be used."""
    try:
        with file.open("a+", encoding="utf-8") as names:
            fcntl.flock(names, fcntl.LOCK_EX)
            names.seek(0)
            given = names.read().splitlines()
            if project not in given and len(given) < most:
                names.write(project + "\n")
                given.append(project)
            return given
    except OSError:
        return None
