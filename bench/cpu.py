"""CPU time and resident memory of a process tree, read from /proc (Linux).

A tree is a process, all its descendants, and every process of the session that it leads: a child whose parent died
belongs to it still. Children that ended are counted in the figures of the parent that waited for them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """`cpu_s`: user and system seconds since the tree began; `resident_mb`: sum of the processes' resident sets."""

    cpu_s: float
    resident_mb: float
    processes: int


@dataclass(frozen=True)
class _Stat:
    pid: int
    parent: int
    session: int
    alive: bool
    cpu_ticks: int
    resident_pages: int


def _read(pid: str) -> _Stat | None:
    """None for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the name in brackets and may hold anything; what follows it starts with field 3, the state.
    values = text[text.rindex(")") + 2 :].split()
    return _Stat(
        pid=int(pid),
        parent=int(values[1]),
        session=int(values[3]),
        alive=values[0] not in "ZX",  # a zombie has its CPU time still
        cpu_ticks=sum(int(value) for value in values[11:15]),  # utime, stime, and cutime, cstime of waited-for children
        resident_pages=int(values[21]),
    )


def tree(root: int) -> list[int]:
    """The pids of the tree of `root` that are alive, itself included."""
    return [stat.pid for stat in _tree(root) if stat.alive]


def _tree(root: int) -> list[_Stat]:
    stats = [stat for entry in Path("/proc").iterdir() if entry.name.isdigit() and (stat := _read(entry.name))]
    children: dict[int, list[_Stat]] = {}
    for stat in stats:
        children.setdefault(stat.parent, []).append(stat)
    found: dict[int, _Stat] = {}
    todo = [stat for stat in stats if root in (stat.pid, stat.session)]
    while todo:
        stat = todo.pop()
        if stat.pid not in found:
            found[stat.pid] = stat
            todo += children.get(stat.pid, ())
    return list(found.values())


def usage(root: int) -> Usage:
    """What the tree of `root` has used and holds now; zeros when none is left."""
    stats = _tree(root)
    return Usage(
        cpu_s=sum(stat.cpu_ticks for stat in stats) / _TICKS,
        resident_mb=sum(stat.resident_pages for stat in stats) * _PAGE / 1e6,
        processes=sum(stat.alive for stat in stats),
    )
