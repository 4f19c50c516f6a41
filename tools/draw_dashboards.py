"""Draws the dashboards without Grafana, to see how they read: a PNG for each, by the numbers of a running Prometheus.

    python -m tools.draw_dashboards http://127.0.0.1:9090 /tmp/boards --minutes 30

Needs matplotlib, which nothing else here does: `pip install matplotlib`. What it draws has the places, titles, units,
legends and colours of the panels; it is a sketch of what Grafana shows, not a copy.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from deploy.grafana.boards import BOARDS
from deploy.grafana.panels import Board
from deploy.grafana.queries import filled

Json = dict[str, Any]
POINTS = 240
COLUMNS, INCHES_WIDE, INCHES_PER_UNIT = 24, 24.0, 0.42
INK, PAPER, LINES = "#ccccdc", "#181b1f", "#2c3235"
NAMED = {"green": "#73BF69", "red": "#F2495C"}
PALETTE = ["#7EB26D", "#EAB839", "#6ED0E0", "#EF843C", "#E24D42", "#1F78C1", "#BA43A9", "#705DA0", "#508642", "#CCA300"]


@dataclass(frozen=True)
class Line:
    legend: str
    times: Sequence[float]
    values: Sequence[float]


class Source:
    """A Prometheus, and the span of time that is looked at."""

    def __init__(self, url: str, minutes: float) -> None:
        self._url = url
        self._until = time.time()
        self.since = self._until - minutes * 60
        self._step = max(1.0, minutes * 60 / POINTS)
        self._words = {
            "rate_interval": f"{math.ceil(4 * self._step + 10)}s",
            "time_range": f"{math.ceil(minutes * 60)}s",
        }

    def lines(self, target: Json) -> list[Line]:
        expr = filled(target["expr"], **self._words)
        if target["instant"]:
            found = self._ask("query", query=expr, time=self._until)
            series = [(one["metric"], [one["value"]]) for one in found]
        else:
            found = self._ask("query_range", query=expr, start=self.since, end=self._until, step=self._step)
            series = [(one["metric"], one["values"]) for one in found]
        return [
            Line(_legend(target["legendFormat"], labels), [at for at, _ in points], [float(text) for _, text in points])
            for labels, points in series
        ]

    def _ask(self, path: str, **query: object) -> list[Json]:
        with urlopen(f"{self._url}/api/v1/{path}?{urlencode(query)}", timeout=60) as answer:
            return json.load(answer)["data"]["result"]


def _legend(template: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return re.sub(r"\{\{\w+\}\}", "", template).strip()


def written(value: float, unit: str) -> str:
    """A number as Grafana would write it."""
    if math.isnan(value):
        return "-"
    if unit == "s":
        return next(
            (f"{value * by:.3g} {name}" for by, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if value * by >= 1), "0 s"
        )
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    suffix = {"reqps": " req/s", "ops": " ops/s"}.get(unit, unit.removeprefix("suffix:") if ":" in unit else "")
    return (
        next((f"{value / by:.3g}{name}" for by, name in ((1e6, " M"), (1e3, " K")) if value >= by), f"{value:.3g}")
        + suffix
    )


def colour_of(panel: Json, legend: str, number: int) -> str:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == legend:
            colour: str = override["properties"][0]["value"]["fixedColor"]
            return NAMED.get(colour, colour)
    return PALETTE[number % len(PALETTE)]


def by_thresholds(defaults: Json, value: float) -> str:
    colour = INK
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return NAMED.get(colour, colour)


def word_for(defaults: Json, value: float) -> tuple[str, str] | None:
    for mapping in defaults.get("mappings", ()):
        if chosen := mapping["options"].get(f"{value:g}"):
            return chosen["text"], NAMED.get(chosen["color"], chosen["color"])
    return None


def draw_stat(axes: Axes, panel: Json, lines: Sequence[Line]) -> None:
    axes.axis("off")
    defaults = panel["fieldConfig"]["defaults"]
    if not lines:
        text, colour = defaults["noValue"], INK
    else:
        value = lines[0].values[-1]
        text, colour = word_for(defaults, value) or (written(value, defaults["unit"]), by_thresholds(defaults, value))
    axes.text(0.5, 0.45, text, color=colour, fontsize=22, ha="center", va="center", transform=axes.transAxes)


def draw_series(axes: Axes, panel: Json, lines: Sequence[Line]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    if defaults["custom"]["stacking"]["mode"] == "normal" and lines:
        _stack(axes, panel, lines)
    else:
        for number, line in enumerate(lines):
            axes.plot(line.times, line.values, color=colour_of(panel, line.legend, number), linewidth=1.4)
    axes.set_ylim(bottom=0, top=defaults.get("max"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit)))
    _time_axis(axes)
    for number, line in enumerate(lines[:7]):
        known = [value for value in line.values if not math.isnan(value)]
        text = (
            f"{line.legend}   last {written(known[-1], unit)}   max {written(max(known), unit)}"
            if known
            else line.legend
        )
        axes.text(
            0.0, -0.13 - 0.085 * number, text, color=colour_of(panel, line.legend, number), fontsize=7.5,
            transform=axes.transAxes, va="top",
        )  # fmt: skip


def _stack(axes: Axes, panel: Json, lines: Sequence[Line]) -> None:
    times = sorted({at for line in lines for at in line.times})
    rows = [dict(zip(line.times, line.values, strict=True)) for line in lines]
    stacked = [[0.0 if math.isnan(value := row.get(at, 0.0)) else value for at in times] for row in rows]
    colours = [colour_of(panel, line.legend, number) for number, line in enumerate(lines)]
    axes.stackplot(times, *stacked, colors=colours, alpha=0.6)


def draw_bars(axes: Axes, panel: Json, lines: Sequence[Line]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for number, line in enumerate(reversed(lines)):
        axes.barh(number, line.values[-1], color=PALETTE[number % len(PALETTE)])
        axes.text(line.values[-1], number, f" {written(line.values[-1], unit)}", color=INK, va="center", fontsize=8)
    axes.set_yticks(range(len(lines)), [line.legend for line in reversed(lines)])
    axes.set_xticks([])


def draw_states(axes: Axes, panel: Json, lines: Sequence[Line]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    for number, line in enumerate(reversed(lines)):
        for at, until, value in zip(line.times, [*line.times[1:], line.times[-1]], line.values, strict=True):
            _, colour = word_for(defaults, value) or ("", INK)
            axes.barh(number, until - at, left=at, color=colour, height=0.6)
        word, _ = word_for(defaults, line.values[-1]) or (f"{line.values[-1]:g}", INK)
        axes.text(line.times[-1], number, f"{word} ", color=PAPER, ha="right", va="center", fontsize=8)
    axes.set_yticks(range(len(lines)), [line.legend for line in reversed(lines)])
    _time_axis(axes)


def _time_axis(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: time.strftime("%H:%M:%S", time.localtime(at))))
    axes.xaxis.set_major_locator(pyplot.MaxNLocator(4))


DRAW = {"stat": draw_stat, "timeseries": draw_series, "bargauge": draw_bars, "state-timeline": draw_states}


def draw(board: Board, source: Source, file: Path) -> None:
    panels: list[Json] = board.json()["panels"]
    units = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = pyplot.figure(figsize=(INCHES_WIDE, units * INCHES_PER_UNIT + 0.6), facecolor=PAPER)
    figure.suptitle(f"{board.title}: {board.description}", color=INK, fontsize=14, y=1 - 0.15 / figure.get_figheight())
    for panel in panels:
        place = panel["gridPos"]
        left, width = place["x"] / COLUMNS, place["w"] / COLUMNS
        top = 1 - (0.6 + place["y"] * INCHES_PER_UNIT) / figure.get_figheight()
        height = place["h"] * INCHES_PER_UNIT / figure.get_figheight()
        if panel["type"] == "row":
            figure.text(left + 0.005, top - height, panel["title"], color=INK, fontsize=13, weight="bold")
            continue
        lines = [line for target in panel["targets"] for line in source.lines(target)]
        series = panel["type"] == "timeseries"
        below = 0.34 if series else 0.12
        axes = figure.add_axes(
            (left + 0.2 * width, top - height * (1 - below), 0.75 * width, height * (0.86 - below)), facecolor=PAPER
        )
        axes.tick_params(colors=INK, labelsize=8)
        if series:
            axes.grid(color=LINES)
        axes.set_title(panel["title"], color=INK, fontsize=10, loc="left", x=-0.2)
        DRAW[panel["type"]](axes, panel, lines)
        if not lines and panel["type"] != "stat":
            axes.text(0.5, 0.5, "No data", color=NAMED["red"], ha="center", transform=axes.transAxes)
    figure.savefig(file, dpi=80, facecolor=PAPER)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.draw_dashboards", description=__doc__)
    parser.add_argument("url", help="of a Prometheus")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    source = Source(given.url, given.minutes)
    for name, board in BOARDS.items():
        draw(board, source, given.folder / name.replace(".json", ".png"))


if __name__ == "__main__":
    main()
