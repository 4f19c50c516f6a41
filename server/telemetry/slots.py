"""The files in which workers count (prometheus_client's multi-process values), read and added up.

prometheus_client's own collector parses every key of every file at every scrape and makes an object of each sample:
200 ms for four workers with a hundred projects. Keys stay where they are once written, so here each is read once, and a
scrape is one `unpack` for each file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from struct import Struct

_INT = Struct("i")
_HEAD = 8  # bytes: how many are used, and padding

Key = bytes
"""JSON of a family's name, the sample's name, its labels and its help: the same in every worker."""


class Layout:
    """Where the values of a file are. The file may have been added to since the last look, and not changed otherwise.

    An entry is the length of its key (4 bytes), the key, spaces up to a multiple of 8 bytes (1 to 8 of them), a value
    and a time.
    """

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self._used = _HEAD
        self._format = f"={_HEAD}x"
        self._struct = Struct(self._format)

    def read(self, data: bytes) -> tuple[Sequence[float], Sequence[float]]:
        """Values and times, in the order of `keys`."""
        added: list[str] = []
        while self._used < len(data):
            (length,) = _INT.unpack_from(data, self._used)
            start = self._used + _INT.size
            self.keys.append(data[start : start + length])
            ahead = _INT.size + length + 8 - (length + _INT.size) % 8
            added.append(f"{ahead}xdd")
            self._used += ahead + 16
        if added:
            self._format += "".join(added)
            self._struct = Struct(self._format)
        both = self._struct.unpack_from(data)
        return both[::2], both[1::2]


class SlotFiles:
    """`totals` of a folder to which several workers write. Gauges are of those that live: others' files are gone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layouts: dict[Path, Layout] = {}

    def totals(self) -> Mapping[Key, float]:
        totals: dict[Key, float] = {}
        gauges = Gauges()
        for path in sorted(self._folder.glob("*.db")):
            data = _used(path)
            kind, _, rest = path.stem.partition("_")
            if not data:
                continue
            if kind == "gauge":  # the file of a dead worker is deleted, and a new one may be laid out in another way
                gauges.add(rest.partition("_")[0], data)
                continue
            layout = self._layouts.get(path)
            if layout is None:
                layout = self._layouts[path] = Layout()
            values, _ = layout.read(data)
            for key, value in zip(layout.keys, values, strict=True):
                totals[key] = totals.get(key, 0.0) + value
        return totals | gauges.values


class Gauges:
    """Of several workers one value, as the family's `across` says."""

    def __init__(self) -> None:
        self.values: dict[Key, float] = {}
        self._times: dict[Key, float] = {}

    def add(self, across: str, data: bytes) -> None:
        layout = Layout()
        values, times = layout.read(data)
        for key, value, time in zip(layout.keys, values, times, strict=True):
            before = self.values.get(key)
            if before is None or (across == "livemostrecent" and time >= self._times[key]):
                self.values[key], self._times[key] = value, time
            elif across == "livesum":
                self.values[key] = before + value
            elif across == "livemax":
                self.values[key] = max(before, value)
            elif across == "livemin":
                self.values[key] = min(before, value)


def _used(path: Path) -> bytes:
    """The part of the file that is in use; empty where it is just being made, or was just deleted."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if len(head) < _HEAD:
                return b""
            used = _INT.unpack_from(head)[0]
            return head + file.read(used - _HEAD) if used > _HEAD else b""
    except FileNotFoundError:
        return b""
