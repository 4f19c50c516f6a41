"""What dashboards are made of, as Grafana's JSON: numbers, lines, bars and states, placed in rows.

Plain JSON and not Grafana's foundation SDK: its Python package is generated anew for each Grafana version, ends before
ours (11.6), is called alpha, and its builders say in five lines what a dictionary says in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.grafana.queries import Query

Json = dict[str, Any]

# The variable, not the data source's uid: a dashboard can be imported into a Grafana that has its own Prometheus.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, AMBER, RED, BLUE, GREY = "green", "#EAB839", "red", "#5794F2", "#8E8E8E"
# By legend; the rest take Grafana's palette.
COLOURS = {
    "p50": GREEN, "p95": AMBER, "p99": RED, "ok": GREEN, "running": BLUE, "waiting": AMBER, "none": GREY,
    "client_gone": GREY, "limited": AMBER, "moderated": "#B877D9", "invalid": BLUE, "engine_error": RED, "error": RED,
    "block": RED, "redact": AMBER, "flag": BLUE, "gateway": BLUE, "queue": AMBER, "engine": GREEN,
}  # fmt: skip
UP_OR_DOWN = {0: ("down", RED), 1: ("up", GREEN)}


@dataclass(frozen=True)
class Row:
    """Panels side by side, of one height in units of Grafana's grid (30 pixels), under a heading that may be empty."""

    heading: str
    height: int
    panels: Sequence[Json]


@dataclass(frozen=True)
class Variable:
    """What can be chosen on top: values of a label."""

    name: str
    title: str
    metric: str
    label: str


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()
    hours: float = 0.5

    def json(self) -> Json:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["portico"],
            "schemaVersion": 41,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,  # one crosshair over all panels
            "time": {"from": f"now-{round(self.hours * 60)}m", "to": "now"},
            "timezone": "browser",
            "refresh": "10s" if self.hours < 2 else "1m",
            "templating": {"list": [_source(), *map(_variable, self.variables)]},
            "annotations": {"list": []},
            "links": [LINKS],
            "panels": list(_arrange(self.rows)),
        }


# To the other dashboards, in the same time range.
LINKS = {
    "title": "Portico", "type": "dashboards", "tags": ["portico"], "asDropdown": False, "keepTime": True,
    "includeVars": False, "targetBlank": False,
}  # fmt: skip


def stat(
    title: str, help_text: str, expr: str, unit: str, thresholds: Json | None = None, *, empty: str = "-", **more: Any
) -> Json:
    """One number, asked at the end of the time range: an old value never stands where there is none now."""
    defaults = {"unit": unit, "noValue": empty, "thresholds": thresholds or steps(base=BLUE)}
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "center",
        "textMode": "value",
    }
    return _panel("stat", title, help_text, [Query(expr)], {**defaults, "color": BY_THRESHOLD, **more}, options)


def series(
    title: str, help_text: str, queries: Sequence[Query], unit: str, *, stacked: bool = False, **more: Any
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
    }
    if "thresholds" in more:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    defaults = {"unit": unit, "min": 0, "color": {"mode": "palette-classic"}, "custom": custom, **more}
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, help_text, queries, defaults, options)


def bars(title: str, help_text: str, query: Query, unit: str, **more: Any) -> Json:
    """A bar for each series, at the end of the time range."""
    options = {
        "orientation": "horizontal",
        "displayMode": "basic",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
    }
    defaults = {"unit": unit, "min": 0, "color": {"mode": "palette-classic"}, **more}
    return _panel("bargauge", title, help_text, [query], defaults, options)


def states(title: str, help_text: str, queries: Sequence[Query], words: dict[int, tuple[str, str]]) -> Json:
    """Bars over time, of a word and a colour for each value."""
    mappings = [
        {
            "type": "value",
            "options": {
                str(value): {"text": word, "color": colour, "index": value} for value, (word, colour) in words.items()
            },
        }
    ]
    options = {
        "showValue": "auto",
        "mergeValues": True,
        "rowHeight": 0.8,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
    }
    return _panel(
        "state-timeline",
        title,
        help_text,
        queries,
        {"mappings": mappings, "color": BY_THRESHOLD, "unit": "none"},
        options,
    )


BY_THRESHOLD = {"mode": "thresholds"}


def steps(*above: tuple[float, str], base: str = GREEN) -> Json:
    """Threshold colours: `base` below the first bound, then each colour from its bound on."""
    bounds = [{"color": base, "value": None}, *({"color": colour, "value": bound} for bound, colour in above)]
    return {"mode": "absolute", "steps": bounds}


def mapped(words: dict[int, tuple[str, str]]) -> list[Json]:
    """Words for the values of a `stat`."""
    options = {str(value): {"text": word, "color": colour, "index": value} for value, (word, colour) in words.items()}
    return [{"type": "value", "options": options}]


def _panel(kind: str, title: str, help_text: str, queries: Sequence[Query], defaults: Json, options: Json) -> Json:
    """A panel still without id and place. `help_text` is behind the (i) beside the title."""
    return {
        "type": kind,
        "title": title,
        "description": help_text,
        "datasource": DATASOURCE,
        "targets": list(_targets(queries, instant=kind in ("stat", "bargauge"))),
        "fieldConfig": {"defaults": defaults, "overrides": _colours(queries) if kind == "timeseries" else []},
        "options": options,
    }


def _targets(queries: Sequence[Query], *, instant: bool) -> Iterable[Json]:
    for number, query in enumerate(queries):
        yield {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "instant": instant,
            "range": not instant,
        }


def _colours(queries: Sequence[Query]) -> list[Json]:
    """Of the legends that may occur."""
    any_legend = any("{{" in query.legend for query in queries)
    legends = {query.legend for query in queries}
    return [
        {
            "matcher": {"id": "byName", "options": legend},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for legend, colour in COLOURS.items()
        if any_legend or legend in legends
    ]


def _arrange(rows: Iterable[Row]) -> Iterable[Json]:
    """Number the panels and place each row's side by side over the 24 columns, under its heading."""
    top, number = 0, 0
    for row in rows:
        if row.heading:
            number += 1
            grid = {"x": 0, "y": top, "w": 24, "h": 1}
            yield {
                "id": number, "type": "row", "title": row.heading, "collapsed": False, "panels": [], "gridPos": grid
            }  # fmt: skip
            top += 1
        width = 24 // len(row.panels)
        for column, panel in enumerate(row.panels):
            number += 1
            yield {"id": number, **panel, "gridPos": {"x": column * width, "y": top, "w": width, "h": row.height}}
        top += row.height


def _source() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Portico", "value": "portico-prometheus"},
    }


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": f"label_values({variable.metric}, {variable.label})", "refId": variable.name},
        "refresh": 2,  # at every change of the time range, for models and projects come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }
