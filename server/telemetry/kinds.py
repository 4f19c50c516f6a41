"""What a metric is declared by: its name, unit, meaning and labels; and how many processes are one value of a gauge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True)
class Family:
    """`kind` and `unit` are as docs/operations.md says them."""

    kind: ClassVar[str] = ""
    name: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CounterFamily(Family):
    kind: ClassVar[str] = "Counter"

    def on(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.help, self.labels, registry=registry)


@dataclass(frozen=True, slots=True)
class GaugeFamily(Family):
    """`across` workers that live: their sum, the largest, the least, or what was set last."""

    kind: ClassVar[str] = "Gauge"
    across: Literal["livesum", "livemax", "livemin", "livemostrecent"] = "livesum"

    def on(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.name, self.help, self.labels, registry=registry, multiprocess_mode=self.across)


@dataclass(frozen=True, slots=True)
class HistogramFamily(Family):
    """`buckets`: upper bounds; one without bound is added."""

    kind: ClassVar[str] = "Histogram"
    buckets: tuple[float, ...] = ()

    def on(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.help, self.labels, registry=registry, buckets=self.buckets)
