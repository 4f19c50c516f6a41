"""deploy/prometheus: valid, and it scrapes what runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import Configured


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


def test_it_scrapes_gateway_and_engine_where_they_listen(
    configured: Configured, prometheus: dict[str, Any], compose: dict[str, Any]
) -> None:
    gateway = configured()
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in prometheus["scrape_configs"]}
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
