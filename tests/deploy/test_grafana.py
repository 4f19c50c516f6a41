"""deploy/grafana: what it draws exists, parses, and is found by Grafana."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from server import errors

# The contract's names (docs/architecture.md); histograms also have _bucket, _sum and _count.
COUNTERS_AND_GAUGES = {
    "portico_requests_total",
    "portico_tokens_total",
    "portico_in_flight_requests",
    "portico_engine_up",
    "portico_limited_total",
    "portico_moderation_decisions_total",
}
HISTOGRAMS = {
    "portico_request_duration_seconds",
    "portico_time_to_first_token_seconds",
    "portico_inter_token_latency_seconds",
    "portico_gateway_overhead_seconds",
    "portico_queue_wait_seconds",
}
METRICS = COUNTERS_AND_GAUGES | {name + "_bucket" for name in HISTOGRAMS}


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    return json.loads((root / "deploy/grafana/dashboards/latency.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(panels: list[dict[str, Any]]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_the_file_is_what_the_script_builds(root: Path) -> None:
    code = "import build; print(build.rendered(), end='')"
    built = subprocess.run(
        [sys.executable, "-c", code], cwd=root / "deploy/grafana", capture_output=True, text=True, check=True
    ).stdout
    assert built == (root / "deploy/grafana/dashboards/latency.json").read_text(encoding="utf-8")


def test_metrics_are_those_of_the_contract_or_vllms(panels: list[dict[str, Any]]) -> None:
    used = {
        name
        for expr in expressions(panels)
        for name in re.findall(r"\b((?:portico_|vllm:)\w+)", re.sub(r'"[^"]*"', '""', expr))
    }
    assert {name for name in used if not name.startswith("vllm:")} <= METRICS
    # Each that the first release has is drawn.
    assert used >= METRICS - {"portico_limited_total", "portico_moderation_decisions_total"}


def test_histograms_are_read_by_quantile_over_le(panels: list[dict[str, Any]]) -> None:
    for expr in expressions(panels):
        buckets = len(re.findall(r"_bucket\b", expr))
        assert buckets == len(re.findall(r"histogram_quantile\(0\.\d+, sum by \(le\) \(rate\(\w+_bucket\{", expr))


def test_promtool_parses_every_expression(panels: list[dict[str, Any]], promtool: str, tmp_path: Path) -> None:
    filled = [expr.replace("$__rate_interval", "1m").replace("$model", ".*") for expr in expressions(panels)]
    assert not [expr for expr in filled if "$" in expr]
    rules = [{"record": f"panel:query:{number}", "expr": expr} for number, expr in enumerate(filled)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_counts_as_failed_is_every_outcome_with_a_5xx(panels: list[dict[str, Any]]) -> None:
    def tree(kind: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
        yield kind
        for below in kind.__subclasses__():
            yield from tree(below)

    (expr,) = (target["expr"] for panel in panels if panel["title"] == "Failed" for target in panel["targets"])
    (pattern,) = re.findall(r'outcome=~"([^"]+)"', expr)
    kinds = list(tree(errors.GatewayError))
    assert {kind.outcome for kind in kinds if re.fullmatch(pattern, kind.outcome)} == {
        kind.outcome for kind in kinds if kind.status >= 500
    }
    assert not re.fullmatch(pattern, "ok")


def test_every_query_uses_the_data_source_variable(dashboard: dict[str, Any], root: Path) -> None:
    uids = {node["datasource"]["uid"] for node in walk(dashboard) if isinstance(node.get("datasource"), dict)}
    assert uids == {"${datasource}"}
    (chosen,) = (v["current"]["value"] for v in dashboard["templating"]["list"] if v["type"] == "datasource")
    provisioned = yaml.safe_load((root / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert [source["uid"] for source in provisioned["datasources"]] == [chosen]


def test_panels_are_titled_explained_with_units_and_do_not_overlap(panels: list[dict[str, Any]]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["type"] == "state-timeline" or panel["fieldConfig"]["defaults"]["unit"]
        place = panel["gridPos"]
        here = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not here & cells
        cells |= here
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_numbers_say_what_an_empty_answer_means(panels: list[dict[str, Any]]) -> None:
    assert all(panel["fieldConfig"]["defaults"]["noValue"] for panel in panels if panel["type"] == "stat")


def test_grafana_finds_it(root: Path, compose: dict[str, Any]) -> None:
    grafana = compose["services"]["grafana"]
    mounts: dict[str, str] = {}
    for volume in grafana["volumes"]:
        source, target = volume.removesuffix(":ro").split(":")
        mounts[target] = source
    provider = yaml.safe_load((root / "deploy/grafana/provisioning/dashboards/portico.yml").read_text())["providers"][0]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert provider["options"]["path"] == str(home.parent)
    assert (root / mounts[str(home.parent)] / home.name).is_file()
    assert (root / mounts["/etc/grafana/provisioning"] / "dashboards/portico.yml").is_file()


def test_rate_windows_fit_the_scrape_interval(root: Path) -> None:
    source = yaml.safe_load((root / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    prometheus = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    assert source["datasources"][0]["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
