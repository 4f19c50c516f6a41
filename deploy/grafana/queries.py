"""PromQL in the words of the dashboards.

A query answers in a service where all is well too: what counts accidents says 0 where there were none (`or_none`), and
what measures waiting says 0 where nobody waited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NOW = "$__rate_interval"
RANGE = "$__range"

MODEL = 'model=~"$model"'
# Projects are counted by their ids; people know them by their names.
NAMES = 'topk by (project) (1, portico_project_info{name=~"$project"})'
# Outcomes that are the service's fault (server/errors.py); rules/recording.yml has them too.
FAULTS = "error|engine_.*|store_unavailable|moderation_unavailable|shutting_down"
FAILED = f'outcome=~"{FAULTS}"'
COUNTED = f'outcome=~"ok|{FAULTS}"'
# A refusal takes no time; among the answers it would only flatter them.
ANSWERED = 'outcome="ok"'


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str = ""


def select(metric: str, *labels: str) -> str:
    return f"{metric}{{{', '.join(labels)}}}" if labels else metric


def rate(metric: str, *labels: str, window: str = NOW) -> str:
    """Per second, summed over all series."""
    return f"sum(rate({select(metric, *labels)}[{window}]))"


def rate_by(label: str, metric: str, *labels: str, window: str = NOW) -> str:
    return f"sum by ({label}) (rate({select(metric, *labels)}[{window}]))"


def total(metric: str, *labels: str, window: str = RANGE) -> str:
    """How often in the window; 0 where never."""
    return f"(sum(increase({select(metric, *labels)}[{window}])) or vector(0))"


def total_by(label: str, metric: str, *labels: str, window: str = RANGE) -> str:
    return f"sum by ({label}) (increase({select(metric, *labels)}[{window}]))"


def mean(metric: str, *labels: str) -> str:
    """Of a histogram."""
    return f"{rate(metric + '_sum', *labels)} / {rate(metric + '_count', *labels)}"


def quantile(share: float, metric: str, *labels: str, by: str = "", window: str = NOW) -> str:
    """Of a histogram. NaN where nothing was observed, which Grafana draws as a gap."""
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate_by(grouped, metric + '_bucket', *labels, window=window)})"


def quantiles(metric: str, *labels: str) -> list[Query]:
    return [
        Query(quantile(share, metric, *labels), name) for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def known(expr: str) -> str:
    """Without NaN, so that a panel can say that there is nothing instead."""
    return f"({expr}) >= 0"


def or_none(expr: str, label: str) -> str:
    """A line at 0 called "none" while there is no series at all."""
    return f'{expr} or on() label_replace(vector(0), "{label}", "none", "", "")'


def named(expr: str) -> str:
    """What is by `project` (an id): of the chosen ones, with their names. Projects of one name stay apart."""
    return f"({expr} * on (project) group_left (name) {NAMES})"


def busy(expr: str) -> str:
    """Without what does not happen, so that a legend names only what does."""
    return f"{expr} > 0"


def top(count: int, expr: str) -> str:
    return f"topk({count}, {expr})"


def filled(expr: str, *, rate_interval: str, time_range: str) -> str:
    """As Grafana sends it where all values of every variable are chosen."""
    expr = expr.replace(NOW, rate_interval).replace(RANGE, time_range)
    return re.sub(r"\$\w+", ".*", expr)
