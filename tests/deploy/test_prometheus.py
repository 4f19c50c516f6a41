"""deploy/prometheus: valid, and it scrapes what runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import Configured, all_rules
from tests.deploy.promql import bounds_asked, bounds_of, unknown


@pytest.fixture(scope="module")
def prometheus(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))


def test_promtool_accepts_the_configuration(root: Path, promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "config", root / "deploy/prometheus/prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 rule files found" in done.stdout


def test_the_rules_are_mounted_where_it_looks(prometheus: dict[str, Any], compose: dict[str, Any]) -> None:
    service = compose["services"]["prometheus"]
    assert "./deploy/prometheus:/etc/prometheus:ro" in service["volumes"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in service["command"]
    assert prometheus["rule_files"] == ["rules/*.yml"]  # beside the configuration


def test_the_long_windows_of_the_alerts_are_kept(compose: dict[str, Any]) -> None:
    """An alert over 3 days is silent for ever where less is kept."""
    (kept,) = (
        re.fullmatch(r"--storage.tsdb.retention.time=(\d+)d", word)
        for word in compose["services"]["prometheus"]["command"]
        if "retention" in word
    )
    assert kept
    windows = {window for rule in all_rules("recording") for window in re.findall(r"\[(\d+)d\]", rule["expr"])}
    assert max(map(int, windows)) < int(kept[1])


def test_it_scrapes_gateway_and_engine_where_they_listen(
    configured: Configured, prometheus: dict[str, Any], compose: dict[str, Any]
) -> None:
    gateway = configured()
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in prometheus["scrape_configs"]
        if "static_configs" in job
    }
    assert jobs["portico"] == [f"gateway:{gateway.metrics.port}"]
    assert f"http://{jobs['vllm'][0]}/v1" == gateway.engines["vllm"].url
    for service in ("gateway", "vllm"):
        assert set(compose["services"]["prometheus"]["networks"]) & set(compose["services"][service]["networks"])


def test_a_scrape_ends_before_the_next(prometheus: dict[str, Any]) -> None:
    seconds = {name: int(text.removesuffix("s")) for name, text in prometheus["global"].items()}
    assert seconds["scrape_timeout"] < seconds["scrape_interval"]


def test_vllms_names_keep_their_colon(prometheus: dict[str, Any]) -> None:
    (job,) = (job for job in prometheus["scrape_configs"] if job["job_name"] == "vllm")
    (rule,) = job["metric_relabel_configs"]
    assert re.sub(rule["regex"], rule["replacement"].replace("$", "\\"), "vllm_num_requests_running") == (
        "vllm:num_requests_running"
    )
    assert not re.fullmatch(rule["regex"], "process_cpu_seconds_total")


def test_the_rules_read_what_there_is() -> None:
    expressions = [rule["expr"] for file in ("recording", "alerts") for rule in all_rules(file)]
    assert [missing for expr in expressions for missing in unknown(expr)] == []
    asked = {pair for expr in expressions for pair in bounds_asked(expr)}
    assert asked
    assert all(bound in bounds_of(histogram) for histogram, bound in asked)
