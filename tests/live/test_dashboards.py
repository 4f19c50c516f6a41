"""Every panel and every alert over a real Prometheus, Portico and vLLM: the names of vLLM's metrics are right, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from deploy.grafana.boards import BOARDS
from tests.live.conftest import MODEL
from tests.live.service import Engine, Service
from tests.services.prometheus import Prometheus

EVERY_S = 3  # a busy vLLM takes a while to tell its metrics
SCRAPES = 5  # that saw the engine at work, for rates need several
WITHIN_S = 150
PANELS = {
    f"{board.uid}: {panel['title']}": panel
    for board in BOARDS.values()
    for panel in board.json()["panels"]
    if panel["type"] != "row"
}


@dataclass(frozen=True)
class Seen:
    prometheus: Prometheus
    began: float
    ended: float


def calls(service: Service) -> None:
    """Some at once, streamed and not, with a prompt that comes again."""
    client = openai.OpenAI(base_url=service.base_url, api_key=service.key, max_retries=0, timeout=60)

    def one(number: int) -> None:
        messages: Any = [{"role": "user", "content": "Tell me a long story."}]
        if number % 2:
            client.chat.completions.create(model=MODEL, messages=messages, max_tokens=20)
        else:
            list(client.chat.completions.create(model=MODEL, messages=messages, max_tokens=20, stream=True))

    with client, ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))


@pytest.fixture(scope="module")
def seen(service: Service, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    targets = {"portico": service.metrics_url, "vllm": f"{engine.root}/metrics"}
    bare = {job: url.removeprefix("http://").removesuffix("/metrics") for job, url in targets.items()}
    prometheus = Prometheus(tmp_path_factory.mktemp("dashboards"), bare, EVERY_S)
    prometheus.start()
    try:
        began, scrapes = time.time(), 0.0
        while scrapes < SCRAPES:
            assert time.time() < began + WITHIN_S, [
                one["lastError"] for one in prometheus.api("targets")["activeTargets"]
            ]
            calls(service)
            time.sleep(EVERY_S)
            scrapes += prometheus.value(f"sum(irate(vllm:generation_tokens_total[{4 * EVERY_S}s])) > bool 0")
        time.sleep(2 * EVERY_S)
        yield Seen(prometheus, began, time.time())
    finally:
        prometheus.stop()


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_no_panel_is_empty(seen: Seen, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert seen.prometheus.draw(target, seen.began, seen.ended), target["expr"]


def test_every_rule_can_be_worked_out_and_no_alert_fires(seen: Seen) -> None:
    rules = [rule for group in seen.prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []


def test_the_variables_of_the_dashboards_have_values(seen: Seen) -> None:
    for board in BOARDS.values():
        for variable in board.variables:
            if variable.name != "policy":  # none is in force here
                found = seen.prometheus.api(f"label/{variable.label}/values", **{"match[]": variable.metric})
                assert found, variable
