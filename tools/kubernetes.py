"""Writes what the Kubernetes manifests take from elsewhere in deploy/: run it after a change of rules or dashboards.

    python tools/kubernetes.py

deploy/prometheus/rules/*.yml become a PrometheusRule, for the operator takes rules in no other form. Dashboards are
named one by one in deploy/grafana/kustomization.yaml, for kustomize knows no patterns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
RULES = ROOT / "deploy/kubernetes/components/monitoring/rules.yaml"
DASHBOARDS = ROOT / "deploy/grafana/kustomization.yaml"
MADE = "# Made by tools/kubernetes.py; change {} instead.\n"


def prometheus_rule(files: list[str]) -> dict[str, Any]:
    """`files`: texts of Prometheus's rule files, whose groups are those of the one object."""
    groups = [group for text in files for group in yaml.safe_load(text)["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "portico"},
        "spec": {"groups": groups},
    }


def rules() -> str:
    files = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
    made = prometheus_rule([file.read_text(encoding="utf-8") for file in files])
    return MADE.format("deploy/prometheus/rules/") + yaml.safe_dump(
        made, sort_keys=False, allow_unicode=True, width=120
    )


def dashboards() -> str:
    names = sorted(file.name for file in (ROOT / "deploy/grafana/dashboards").glob("*.json"))
    made = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "configMapGenerator": [
            {
                "name": f"dashboard-{name.removesuffix('.json')}",
                "files": [f"dashboards/{name}"],
                "options": {"labels": {"grafana_dashboard": "1"}, "disableNameSuffixHash": True},
            }
            for name in names
        ],
    }
    return MADE.format("deploy/grafana/dashboards/") + yaml.safe_dump(made, sort_keys=False)


def main() -> None:
    RULES.write_text(rules(), encoding="utf-8")
    DASHBOARDS.write_text(dashboards(), encoding="utf-8")


if __name__ == "__main__":
    main()
