"""Exemplars: of each bucket of the latency histograms, a trace that fell into it lately (OpenMetrics 1.0, "Exemplars").

Only where traces are exported. A worker keeps the latest of each bucket and writes them into the metrics folder once a
second; the parent reads them when a scraper asks for OpenMetrics, which alone can carry them.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from time import time

import msgspec

from server.call import Call
from server.telemetry import families
from server.telemetry.kinds import HistogramFamily

EVERY_S = 1.0
Series = tuple[str, tuple[str, ...]]  # a histogram's name and the values of its labels


class Exemplar(msgspec.Struct, frozen=True, array_like=True):
    """`at`: Unix seconds."""

    trace_id: str
    value: float
    at: float

    @property
    def text(self) -> str:
        """As it follows a bucket's line."""
        return f' # {{trace_id="{self.trace_id}"}} {self.value!r} {self.at:.3f}'


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    name: str
    labels: tuple[str, ...]
    bucket: int
    exemplar: Exemplar


Exemplars = Mapping[Series, Mapping[float, Exemplar]]
"""By series, and in it by the upper bound of the bucket."""
NO_EXEMPLARS: Exemplars = {}


class ExemplarFile:
    """Of one worker. There are as many as buckets that were met, which labels bound."""

    def __init__(self, folder: Path, seat: int, clock: Callable[[], float] = time) -> None:
        self._path = folder / f"exemplars-{seat}.json"
        self._clock = clock
        self._latest: dict[tuple[str, tuple[str, ...], int], Exemplar] = {}
        self._changed = False
        self._written = 0.0

    def finished(self, call: Call, end: float) -> None:
        """A call that has ended, at `end` of perf_counter: noted if its spans are exported."""
        trace = call.trace
        if trace is None or trace.span is None or not trace.sampled:
            return
        model = call.model.id
        now = self._clock()
        self._note(families.DURATION, (model, call.endpoint, call.outcome), trace.trace_id, end - call.received, now)
        if call.stream and call.first_token is not None:
            self._note(families.FIRST_TOKEN, (model,), trace.trace_id, call.first_token - call.received, now)
        if call.dispatched is not None:
            spent = (call.engine_done or end) - call.dispatched
            self._note(families.ENGINE_TIME, (model,), trace.trace_id, spent, now)
        self._changed = True

    def tick(self, now: float) -> None:
        """Called by the watchdog."""
        if not self._changed or now - self._written < EVERY_S:
            return
        self._written, self._changed = now, False
        kept = [_Kept(*where, exemplar) for where, exemplar in self._latest.items()]
        beside = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk must not end the service
            beside.write_bytes(msgspec.json.encode(kept))
            beside.replace(self._path)

    def _note(self, family: HistogramFamily, labels: tuple[str, ...], trace_id: str, value: float, now: float) -> None:
        self._latest[family.name, labels, bisect_left(family.buckets, value)] = Exemplar(trace_id, value, now)


def read_exemplars(folder: Path) -> Exemplars:
    """The latest of all workers."""
    bounds = {one.name: (*one.buckets, inf) for one in families.ALL if isinstance(one, HistogramFamily)}
    found: dict[Series, dict[float, Exemplar]] = {}
    for path in folder.glob("exemplars-*.json"):
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=list[_Kept])
        except (OSError, msgspec.DecodeError):
            continue
        for one in kept:
            of_series = found.setdefault((one.name, one.labels), {})
            bound = bounds[one.name][one.bucket]
            before = of_series.get(bound)
            if before is None or before.at < one.exemplar.at:
                of_series[bound] = one.exemplar
    return found
