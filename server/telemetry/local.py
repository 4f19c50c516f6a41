"""Counting without paying for shared memory on every request.

prometheus_client's multi-process values cost about a microsecond for each of ten series per request. Here a worker
counts in plain lists and adds them to prometheus_client a few times a second (the watchdog's tick) and at its end. A
scrape is thus at most that much behind; a killed worker loses at most that much.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram

from server.telemetry.kinds import CounterFamily, HistogramFamily

Labels = tuple[str, ...]


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


class LocalCounters(dict[Labels, LocalCounter]):
    """The series of one counter by the values of its labels, made on first use; what is known costs a look-up."""

    def __init__(self, family: Counter) -> None:
        super().__init__()
        self._family = family

    def __missing__(self, labels: Labels) -> LocalCounter:
        self[labels] = made = LocalCounter(self._family.labels(*labels) if labels else self._family)
        return made


class LocalHistograms(dict[Labels, LocalHistogram]):
    """The same of a histogram."""

    def __init__(self, family: Histogram, bounds: tuple[float, ...]) -> None:
        super().__init__()
        self._family = family
        self._bounds = bounds

    def __missing__(self, labels: Labels) -> LocalHistogram:
        child = self._family.labels(*labels) if labels else self._family
        self[labels] = made = LocalHistogram(child, self._bounds)
        return made


class Flushable(Protocol):
    def flush(self) -> None: ...


class LocalRegistry:
    """Makes what is counted locally, and hands all of it over to `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._all: list[Mapping[Labels, Flushable]] = []

    def counters(self, family: CounterFamily) -> LocalCounters:
        made = LocalCounters(family.on(self.registry))
        self._all.append(made)
        return made

    def histograms(self, family: HistogramFamily) -> LocalHistograms:
        made = LocalHistograms(family.on(self.registry), family.buckets)
        self._all.append(made)
        return made

    def flush(self) -> None:
        for family in self._all:
            for series in family.values():
                series.flush()
