"""deploy/grafana: what it draws exists, parses, and is found by Grafana."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.boards import BOARDS, FOLDER, rendered
from deploy.grafana.queries import FAULTS, filled
from server import errors
from server.telemetry import families
from tests.deploy.conftest import all_rules
from tests.deploy.promql import bounds_asked, bounds_of, selectors, unknown

Json = dict[str, Any]
PANELS = {
    f"{board.uid}: {panel['title']}": panel
    for board in BOARDS.values()
    for panel in board.json()["panels"]
    if panel["type"] != "row"
}
EXPRESSIONS = [target["expr"] for panel in PANELS.values() for target in panel["targets"]]
# Not drawn: they say how something is and not how it changes.
UNDRAWN = {
    "portico_build_info",
    "portico_leaked_control_tokens_total",
    "portico_null_answers_total",
    "portico_estimated_usage_total",
    "portico_usage_lost_records_total",
    "portico_responses_lost_total",
    "portico_certificate_expiry_timestamp_seconds",
    "portico_trace_spans_total",
}


def walk(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_the_files_are_what_the_code_builds() -> None:
    assert {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()} == rendered(), (
        "run: python -m deploy.grafana"
    )


def test_every_name_and_label_that_is_read_exists() -> None:
    assert [missing for expr in EXPRESSIONS for missing in unknown(expr)] == []


def test_every_metric_is_drawn() -> None:
    read = {name for expr in EXPRESSIONS for name, _ in selectors(expr)}
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in read}
    assert {family.name for family in families.ALL} - bare == UNDRAWN


def test_every_bucket_that_is_read_exists() -> None:
    asked = {pair for expr in EXPRESSIONS for pair in bounds_asked(expr)}
    assert asked
    assert all(bound in bounds_of(histogram) for histogram, bound in asked)


def test_histograms_are_read_by_quantile_over_le() -> None:
    for expr in EXPRESSIONS:
        buckets = re.findall(r"_bucket\b(?![^}]*le=)", expr)
        quantiles = re.findall(r"histogram_quantile\(0\.\d+, sum by \(le(?:, \w+)?\) \(rate\([\w:]+_bucket[{\[]", expr)
        assert len(buckets) == len(quantiles), expr


def test_promtool_parses_every_expression(promtool: str, tmp_path: Path) -> None:
    expressions = [filled(expr, rate_interval="1m", time_range="30m") for expr in EXPRESSIONS]
    assert not [expr for expr in expressions if "$" in expr]
    rules = [{"record": f"panel:query:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_counts_as_failed_is_every_outcome_with_a_5xx() -> None:
    def tree(kind: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
        yield kind
        for below in kind.__subclasses__():
            yield from tree(below)

    kinds = list(tree(errors.GatewayError))
    assert {kind.outcome for kind in kinds if re.fullmatch(FAULTS, kind.outcome)} == {
        kind.outcome for kind in kinds if kind.status >= 500
    }
    assert not re.fullmatch(FAULTS, "ok")
    # The recording rules say it too.
    patterns = [found for rule in all_rules("recording") for found in re.findall(r'outcome=~"([^"]+)"', rule["expr"])]
    assert set(patterns) == {FAULTS, f"ok|{FAULTS}"}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_query_uses_the_data_source_variable(board: Any, root: Path) -> None:
    tree = board.json()
    uids = {node["datasource"]["uid"] for node in walk(tree) if isinstance(node.get("datasource"), dict)}
    assert uids == {"${datasource}"}
    (chosen,) = (v["current"]["value"] for v in tree["templating"]["list"] if v["type"] == "datasource")
    provisioned = yaml.safe_load((root / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert [source["uid"] for source in provisioned["datasources"]] == [chosen]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_variable_is_used_and_every_used_one_is_there(board: Any) -> None:
    tree = board.json()
    text = " ".join(target["expr"] for panel in tree["panels"] for target in panel.get("targets", ()))
    used = {name for name in re.findall(r"\$(\w+)", text) if not name.startswith("__")}
    assert used == {variable["name"] for variable in tree["templating"]["list"]} - {"datasource"}
    read = [variable["query"]["query"] for variable in tree["templating"]["list"] if variable["type"] == "query"]
    assert not [missing for query in read for missing in unknown(query)]


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_are_titled_explained_with_units_and_do_not_overlap(board: Any) -> None:
    panels: list[Json] = [panel for panel in board.json()["panels"] if panel["type"] != "row"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        here = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not here & cells
        cells |= here
    titles = [(panel["type"], panel["title"]) for panel in panels]
    assert len(set(titles)) == len(titles)
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_a_panel_reads_at_a_glance(panel: Json) -> None:
    legends = [target["legendFormat"] for target in panel["targets"]]
    if panel["type"] == "stat":
        assert panel["fieldConfig"]["defaults"]["noValue"]
        assert len(legends) == 1
    else:
        assert "__auto" not in legends, "a legend of label pairs"
        assert len(set(legends)) == len(legends)
    assert len(panel["title"]) <= 40
    assert len(panel["description"]) <= 200


def test_uids_and_titles_are_each_boards_own() -> None:
    assert (
        len({board.uid for board in BOARDS.values()}) == len({board.title for board in BOARDS.values()}) == len(BOARDS)
    )


def test_grafana_finds_them(root: Path, compose: Json) -> None:
    grafana = compose["services"]["grafana"]
    mounts: dict[str, str] = {}
    for volume in grafana["volumes"]:
        source, target = volume.removesuffix(":ro").split(":")
        mounts[target] = source
    provider = yaml.safe_load((root / "deploy/grafana/provisioning/dashboards/portico.yml").read_text())["providers"][0]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert provider["options"]["path"] == str(home.parent)
    assert json.loads((root / mounts[str(home.parent)] / home.name).read_text())["uid"] == "portico-overview"
    assert (root / mounts["/etc/grafana/provisioning"] / "dashboards/portico.yml").is_file()


def test_rate_windows_fit_the_scrape_interval(root: Path) -> None:
    source = yaml.safe_load((root / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    prometheus = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    assert source["datasources"][0]["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
