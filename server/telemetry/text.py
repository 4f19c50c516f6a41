"""Samples as Prometheus and OpenMetrics write them. Pure; of a series' lines only the values are made anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

import msgspec

from server.telemetry.exemplars import NO_EXEMPLARS, Exemplar, Exemplars
from server.telemetry.kinds import Family
from server.telemetry.slots import Key

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_decode = msgspec.json.Decoder(tuple[str, str, dict[str, str], str]).decode


@dataclass(slots=True)
class Histogram:
    """One series of a histogram. In the files a bucket counts what is in it alone; here it counts all below, too."""

    buckets: list[tuple[float, str, Key]] = field(default_factory=list[tuple[float, str, Key]])
    sum: tuple[str, Key] = ("", b"")
    count: str = ""

    def lines(self, values: Mapping[Key, float], exemplars: Mapping[float, Exemplar]) -> Iterable[str]:
        """`exemplars` by the bounds of buckets."""
        total = 0.0
        for bound, start, key in self.buckets:
            total += values[key]
            yield f"{start} {total}{exemplars[bound].text if bound in exemplars else ''}"
        yield f"{self.count} {total}"
        yield f"{self.sum[0]} {values[self.sum[1]]}"


class TextFormat:
    """Writes samples of `families`, in their order; what belongs to none of them is left out."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = {one.name.removesuffix("_total"): one for one in families}
        self._plain: dict[str, dict[Key, str]] = {name: {} for name in self._families}
        self._histograms: dict[str, dict[tuple[str, ...], Histogram]] = {name: {} for name in self._families}
        self._known: set[Key] = set()

    def lines(
        self, values: Mapping[Key, float], *, openmetrics: bool, exemplars: Exemplars = NO_EXEMPLARS
    ) -> list[str]:
        """`values` may have more keys than at the last call, and lack some of those of gauges.

        `exemplars` are for OpenMetrics only.
        """
        for key in values.keys() - self._known:
            self._learn(key)
        out: list[str] = []
        for name, family in self._families.items():
            samples = [f"{start} {values[key]}" for key, start in self._plain[name].items() if key in values]
            for series, histogram in self._histograms[name].items():
                samples += histogram.lines(values, exemplars.get((name, series), {}))
            if samples:
                shown = name if openmetrics else family.name
                out += (f"# HELP {shown} {family.help}", f"# TYPE {shown} {family.kind.lower()}", *samples)
        return out

    def _learn(self, key: Key) -> None:
        self._known.add(key)
        name, sample, labels, _ = _decode(key)
        family = self._families.get(name)
        if family is None:
            return
        bound = labels.pop("le", None)
        series = tuple(labels[label] for label in family.labels)
        if family.kind != "Histogram":
            self._plain[name][key] = sample + _braces(family.labels, series)
            return
        histogram = self._histograms[name].setdefault(series, Histogram())
        if bound is None:
            histogram.sum = (sample + _braces(family.labels, series), key)
            histogram.count = f"{name}_count{_braces(family.labels, series)}"
        else:
            start = sample + _braces((*family.labels, "le"), (*series, bound))
            histogram.buckets.append((inf if bound == "+Inf" else float(bound), start, key))
            histogram.buckets.sort(key=lambda one: one[0])


def _braces(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
