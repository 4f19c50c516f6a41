"""What a PromQL expression reads, and whether there is such a thing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from server.telemetry import families
from server.telemetry.kinds import HistogramFamily
from tests.deploy.conftest import all_rules

SELECTOR = re.compile(r"\b(?P<name>(?:portico|vllm|ALERTS|up|scrape)[\w:]*)(?:\{(?P<labels>[^}]*)\})?")
OTHERS = {"ALERTS": {"alertstate", "alertname"}, "up": set[str](), "scrape_duration_seconds": set[str]()}


def selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Names of metrics, each with the labels that it is chosen by."""
    for found in SELECTOR.finditer(expr):
        yield found["name"], set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", found["labels"] or ""))


def exposed() -> dict[str, set[str]]:
    """Every name that Portico exposes or the rules record, with its labels."""
    known = {name: set(labels) for name, labels in OTHERS.items()}
    for family in families.ALL:
        if isinstance(family, HistogramFamily):
            known |= {f"{family.name}_{part}": {*family.labels, "le"} for part in ("bucket", "sum", "count")}
        else:
            known[family.name] = set(family.labels)
    return known | {rule["record"]: {"model"} for rule in all_rules("recording")}


def unknown(expr: str) -> list[str]:
    """What `expr` reads and nobody exposes, vLLM's own metrics left out."""
    known = exposed()
    return [
        f"{name}{sorted(labels)}"
        for name, labels in selectors(expr)
        if not name.startswith("vllm:") and (name not in known or labels - known[name] - {"job", "instance"})
    ]


def bounds_asked(expr: str) -> Iterator[tuple[str, str]]:
    """Histograms of which one bucket is read, and its bound."""
    yield from re.findall(r'(\w+)_bucket\{[^}]*\ble="([^"]+)"', expr)


def bounds_of(histogram: str) -> list[str]:
    """As they are written in the exposition."""
    (family,) = (one for one in families.ALL if one.name == histogram and isinstance(one, HistogramFamily))
    return [str(float(bound)) for bound in family.buckets]
