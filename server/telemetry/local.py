"""Counting without paying for shared memory on every request.

prometheus_client's multi-process values cost about a microsecond for each of ten series per request. Here a worker
counts in plain lists and adds them to prometheus_client a few times a second (the watchdog's tick) and at its end. A
scrape is thus at most that much behind; a killed worker loses at most that much.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Protocol

from prometheus_client import Counter, Histogram


class Flushable(Protocol):
    def flush(self) -> None: ...


class LocalCounter:
    __slots__ = ("_child", "value")

    def __init__(self, child: Counter) -> None:
        self._child = child
        self.value = 0.0

    def flush(self) -> None:
        if self.value:
            self._child.inc(self.value)
            self.value = 0.0


class LocalHistogram:
    """Adds whole buckets at once, for which prometheus_client has no public method: hence `_buckets` and `_sum`."""

    __slots__ = ("_bounds", "_child", "_counts", "_dirty", "_sum")

    def __init__(self, child: Histogram, bounds: tuple[float, ...]) -> None:
        self._child = child
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._dirty = False

    def observe(self, value: float, times: int = 1) -> None:
        """`times` observations of the same value."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times
        self._dirty = True

    def flush(self) -> None:
        if not self._dirty:
            return
        self._dirty = False
        for bucket, count in enumerate(self._counts):
            if count:
                self._child._buckets[bucket].inc(count)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportAttributeAccessIssue]
                self._counts[bucket] = 0
        self._child._sum.inc(self._sum)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportAttributeAccessIssue]
        self._sum = 0.0
