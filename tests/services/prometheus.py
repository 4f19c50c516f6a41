"""A real Prometheus of the tests' own, with the shipped configuration and rules, that scrapes often."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from deploy.grafana.queries import filled
from tests.conftest import lacking
from tests.services.program import Program
from tests.services.redis import free_port

DEPLOY = Path(__file__).parents[2] / "deploy/prometheus"


class Prometheus(Program):
    """`targets`: where the jobs of the shipped configuration are here; jobs not named scrape nothing.

    It scrapes every `every_s` seconds, each for as long at most.
    """

    name = "Prometheus"

    def __init__(self, folder: Path, targets: Mapping[str, str], every_s: int = 1) -> None:
        if shutil.which("prometheus") is None:
            lacking("prometheus is not installed (Debian's package prometheus)")
        self._folder = folder
        self.every_s = every_s
        every = f"{every_s}s"
        self._port = free_port()
        (folder / "rules").mkdir()
        for file in (DEPLOY / "rules").glob("*.yml"):
            groups = yaml.safe_load(file.read_text(encoding="utf-8"))
            for group in groups["groups"]:
                group["interval"] = every
            (folder / "rules" / file.name).write_text(yaml.safe_dump(groups), encoding="utf-8")
        tree = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
        tree["global"] = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
        for job in tree["scrape_configs"]:
            if "static_configs" in job:
                target = targets.get(job["job_name"])
                job["static_configs"] = [{"targets": [target]}] if target else []
        (folder / "prometheus.yml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        super().__init__(folder / "prometheus.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _command(self) -> list[str]:
        command = ["prometheus", f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"]
        return [*command, f"--config.file={self._folder}/prometheus.yml", f"--storage.tsdb.path={self._folder}/data"]

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except URLError:
            return False

    def api(self, path: str, **query: object) -> Any:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(query)}", timeout=20) as answer:
            tree = json.load(answer)
        assert tree["status"] == "success", tree
        return tree["data"]

    def value(self, expr: str) -> float:
        """Of an expression that has one series at most, now; 0 where it has none."""
        found = self.api("query", query=expr)["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def draw(self, target: Mapping[str, Any], since: float, until: float) -> list[dict[str, str]]:
        """The labels of the series of a panel's query that have a number, as the panel would ask for them."""
        expr = filled(target["expr"], rate_interval=f"{10 * self.every_s}s", time_range="5m")
        if target["instant"]:
            found = self.api("query", query=expr, time=until)["result"]
            values = [(series["metric"], [series["value"]]) for series in found]
        else:
            found = self.api("query_range", query=expr, start=since, end=until, step=self.every_s)["result"]
            values = [(series["metric"], series["values"]) for series in found]
        return [labels for labels, points in values if any(math.isfinite(float(value)) for _, value in points)]
