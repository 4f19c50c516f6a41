"""Builds dashboards/latency.json: `python deploy/grafana/build.py`.

One page that answers, from top to bottom: is it well now, where does the time go, what is asked of it, and how does
the engine stand. Metric names are those of the contract in docs/architecture.md, and vLLM's own (`vllm:...`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent / "dashboards/latency.json"

Json = dict[str, Any]

# The variable, not the data source's uid: the dashboard can be imported into a Grafana that has its own Prometheus.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MODEL = 'model=~"$model"'
# Outcomes that are the service's fault (server/errors.py): a client's mistakes do not count against it.
FAILED = 'outcome=~"error|engine_.*|store_unavailable|moderation_unavailable|shutting_down"'
# A refusal takes no time; among the answers it would only flatter them.
ANSWERED = 'outcome="ok"'

GREEN, AMBER, RED, BLUE = "green", "#EAB839", "red", "#5794F2"
# By legend; the rest take Grafana's palette.
COLOURS = {"p50": GREEN, "p95": AMBER, "p99": RED, "ok": GREEN, "running": BLUE, "waiting": AMBER}


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str = ""


def rate(metric: str, labels: str = "", window: str = "$__rate_interval") -> str:
    return f"rate({metric}{{{labels}}}[{window}])"


def quantile(share: float, metric: str, labels: str = "", window: str = "$__rate_interval") -> str:
    return f"histogram_quantile({share}, sum by (le) ({rate(metric + '_bucket', labels, window)}))"


def quantiles(metric: str, labels: str = "") -> list[Query]:
    return [
        Query(quantile(share, metric, labels), name) for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def targets(queries: Iterable[Query], *, instant: bool) -> list[Json]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "instant": instant,
            "range": not instant,
        }
        for number, query in enumerate(queries)
    ]


def steps(*above: tuple[float, str], base: str = GREEN) -> Json:
    """Threshold colours: `base` below the first bound, then each colour from its bound on."""
    bounds = [{"color": base, "value": None}, *({"color": colour, "value": bound} for bound, colour in above)]
    return {"mode": "absolute", "steps": bounds}


def panel(
    kind: str, title: str, help_text: str, queries: list[Query], defaults: Json, options: Json, **more: Any
) -> Json:
    """A panel still without id and place, which `arrange` gives. `help_text` is behind the (i) beside the title."""
    return {
        "type": kind,
        "title": title,
        "description": help_text,
        "datasource": DATASOURCE,
        "targets": targets(queries, instant=kind == "stat"),
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "options": options,
        **more,
    }


def stat(title: str, help_text: str, expr: str, unit: str, thresholds: Json, empty: str, **defaults: Any) -> Json:
    """One number, asked at the end of the time range: an old value never stands where there is none now."""
    return panel(
        "stat",
        title,
        help_text,
        [Query(expr)],
        {"unit": unit, "noValue": empty, "thresholds": thresholds, "color": {"mode": "thresholds"}, **defaults},
        {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "center",
            "textMode": "value",
        },
    )


def series(
    title: str, help_text: str, queries: list[Query], unit: str, *, stacked: bool = False, **defaults: Any
) -> Json:
    """Lines over time from zero up; the legend is a table with the last value and the highest."""
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1 if stacked else 2,
        "fillOpacity": 30 if stacked else 0,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "showPoints": "never",
        # A scrape that was missed leaves no hole; an idle minute does, for there is no latency without a call.
        "spanNulls": 30_000,
        **defaults.pop("custom", {}),
    }
    overrides = [
        {
            "matcher": {"id": "byName", "options": legend},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for legend, colour in COLOURS.items()
    ]
    return panel(
        "timeseries",
        title,
        help_text,
        queries,
        {"unit": unit, "min": 0, "color": {"mode": "palette-classic"}, "custom": custom, **defaults},
        {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        overrides=overrides,
    )


def states(title: str, help_text: str, queries: list[Query]) -> Json:
    """Bars of up and down over time."""
    return panel(
        "state-timeline",
        title,
        help_text,
        queries,
        {"mappings": UP_OR_DOWN, "color": {"mode": "thresholds"}, "thresholds": steps((1, GREEN), base=RED), "max": 1},
        {
            "showValue": "auto",
            "mergeValues": True,
            "rowHeight": 0.8,
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
        },
    )


UP_OR_DOWN: list[Json] = [
    {
        "type": "value",
        "options": {
            "0": {"text": "down", "color": RED, "index": 0},
            "1": {"text": "up", "color": GREEN, "index": 1},
        },
    }
]


def arrange(rows: Iterable[tuple[str, int, list[Json]]]) -> list[Json]:
    """Number the panels and place each row's side by side over the 24 columns, under its heading."""
    placed: list[Json] = []
    top = 0
    for heading, height, panels in rows:
        if heading:
            grid = {"x": 0, "y": top, "w": 24, "h": 1}
            placed.append({"type": "row", "title": heading, "collapsed": False, "panels": [], "gridPos": grid})
            top += 1
        width = 24 // len(panels)
        for column, each in enumerate(panels):
            placed.append({**each, "gridPos": {"x": column * width, "y": top, "w": width, "h": height}})
        top += height
    return [{"id": number, **each} for number, each in enumerate(placed, 1)]


def now() -> list[Json]:
    asked = f"sum({rate('portico_requests_total', MODEL, '5m')})"
    failed = f"(sum({rate('portico_requests_total', f'{MODEL},{FAILED}', '5m')}) or vector(0))"
    # `>= 0` drops the NaN of a histogram without calls, so that the panel says "idle" instead.
    first = quantile(0.95, "portico_time_to_first_token_seconds", MODEL, "5m") + " >= 0"
    whole = quantile(0.95, "portico_request_duration_seconds", f"{MODEL},{ANSWERED}", "5m") + " >= 0"
    neutral = steps(base=BLUE)
    return [
        stat("Requests", "Calls ended per second, mean of 5 minutes.", asked, "reqps", neutral, "none yet", decimals=2),
        stat(
            "Failed",
            "Share of calls that failed by the service's fault (error, engine_*, store_unavailable, "
            "moderation_unavailable, shutting_down), last 5 minutes. Refused and mistaken calls do not count.",
            f"{failed} / ({asked} > 0)",
            "percentunit",
            steps((0.01, AMBER), (0.05, RED)),
            "idle",
            decimals=2,
            min=0,
            max=1,
        ),
        stat(
            "First token, p95",
            "95 of 100 streams had their first token within this time, last 5 minutes. Amber from 1 s, red from 2 s.",
            first,
            "s",
            steps((1, AMBER), (2, RED)),
            "idle",
        ),
        stat(
            "Whole answer, p95",
            "95 of 100 good answers were complete within this time, last 5 minutes. Grows with the length of the "
            "answers, so it has no threshold.",
            whole,
            "s",
            neutral,
            "idle",
        ),
        stat(
            "In flight", "Calls open now.", f"sum(portico_in_flight_requests{{{MODEL}}})", "short", neutral, "none yet"
        ),
        stat(
            "Engine",
            "Down if any engine does not answer the gateway's probe. A vLLM that loads its weights is down.",
            "min(portico_engine_up)",
            "none",
            steps((1, GREEN), base=RED),
            "no gateway",
            mappings=UP_OR_DOWN,
        ),
    ]


def latencies() -> list[Json]:
    return [
        series(
            "Time to first token",
            "Of streamed answers: from the complete request to the first token, queue included.",
            quantiles("portico_time_to_first_token_seconds", MODEL),
            "s",
        ),
        series(
            "Inter-token latency",
            "Time between tokens of a streamed answer. 50 ms is about 20 tokens a second for one reader.",
            quantiles("portico_inter_token_latency_seconds", MODEL),
            "s",
        ),
    ]


def durations() -> list[Json]:
    return [
        series(
            "Request duration",
            "Of good answers: from the complete request to the last byte of the answer.",
            quantiles("portico_request_duration_seconds", f"{MODEL},{ANSWERED}"),
            "s",
        ),
        series(
            "Queue wait",
            "How long calls waited in the gateway for a busy engine. Empty while none has to wait. Not split by model.",
            quantiles("portico_queue_wait_seconds"),
            "s",
        ),
        series(
            "Gateway overhead",
            "Time that a call spent in the gateway itself, without queue and engine. Not split by model.",
            quantiles("portico_gateway_overhead_seconds"),
            "s",
        ),
    ]


def traffic() -> list[Json]:
    return [
        series(
            "Requests by outcome",
            "Calls ended per second. Every outcome but the good one names why: invalid and unauthorized are the "
            "client's, engine_* and error the service's.",
            [Query(f"sum by (outcome) ({rate('portico_requests_total', MODEL)})", "{{outcome}}")],
            "reqps",
            stacked=True,
        ),
        series(
            "Tokens by kind",
            "Tokens per second: prompt (cached among them) and completion (reasoning among them).",
            [Query(f"sum by (kind) ({rate('portico_tokens_total', MODEL)})", "{{kind}}")],
            "suffix: tok/s",
        ),
        series(
            "In flight by model",
            "Calls open at the moment of the scrape.",
            [Query(f"sum by (model) (portico_in_flight_requests{{{MODEL}}})", "{{model}}")],
            "short",
            stacked=True,
        ),
    ]


def engine() -> list[Json]:
    hits, asked = (f"sum({rate(f'vllm:prefix_cache_{word}_total')})" for word in ("hits", "queries"))
    return [
        series(
            "Running and waiting in vLLM",
            "Running: in the engine's batch. Waiting for long: the engine is full (KV cache or MAX_NUM_SEQS).",
            [
                Query("sum(vllm:num_requests_running)", "running"),
                Query("sum(vllm:num_requests_waiting)", "waiting"),
            ],
            "short",
        ),
        series(
            "KV cache in use",
            "Share of the KV cache's blocks that hold tokens. Near 100 % vLLM lets calls wait or throws some back.",
            [Query("max by (model_name, engine) (vllm:kv_cache_usage_perc)", "{{model_name}} / {{engine}}")],
            "percentunit",
            max=1,
            thresholds=steps((0.8, AMBER), (0.95, RED)),
            custom={"thresholdsStyle": {"mode": "dashed"}},
        ),
        series(
            "Prefix cache hits",
            "Share of prompt tokens found in the KV cache of earlier calls, and so not computed again.",
            [Query(f"{hits} / ({asked} > 0)", "hits")],
            "percentunit",
            max=1,
        ),
    ]


def presence() -> list[Json]:
    return [
        states(
            "Up and down",
            "Gateway and vLLM: whether Prometheus could scrape them. Engine: whether it answered the gateway's probe.",
            [
                Query('up{job="portico"}', "gateway {{instance}}"),
                Query('up{job="vllm"}', "vLLM {{instance}}"),
                Query("min by (engine) (portico_engine_up)", "engine {{engine}}"),
            ],
        )
    ]


def variables() -> list[Json]:
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "current": {"text": "Portico", "value": "portico-prometheus"},
        },
        {
            "name": "model",
            "label": "Model",
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": "label_values(portico_requests_total, model)", "refId": "model"},
            "refresh": 2,  # at every change of the time range, for models come and go
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        },
    ]


def dashboard() -> Json:
    return {
        "uid": "portico-latency",
        "title": "Portico: latency",
        "description": "How fast the gateway answers, where the time goes, and how the engine stands.",
        "tags": ["portico"],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # one crosshair over all panels
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "refresh": "10s",
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": arrange(
            [
                ("", 4, now()),
                ("Where the time goes", 8, latencies()),
                ("", 8, durations()),
                ("What is asked", 8, traffic()),
                ("Engine (vLLM's own metrics)", 8, engine()),
                ("", 4, presence()),
            ]
        ),
    }


def rendered() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(rendered(), encoding="utf-8")
