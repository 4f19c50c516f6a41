"""Dashboards and alerts over a real Prometheus that scrapes a real Portico: well first, then in trouble.

vLLM's own metrics are those of a real vLLM only: tests/live/test_dashboards.py has their panels.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
import yaml

from deploy.grafana.boards import BOARDS
from tests.behaviour.engine_double import EngineDouble, answer, error
from tests.behaviour.processes import Served, serve
from tests.behaviour.tenant_processes import new_key
from tests.behaviour.vllm import Reply
from tests.services.prometheus import Prometheus

SCRAPES = 5  # with calls of each phase, for rates need several
POLICY = {
    "name": "house",
    "version": 1,
    "rules": [{"id": "lantern", "category": "business", "literals": ["project lantern"], "action": "block"}],
}
WELL = Reply(["a ", "b ", "c ", "d"], reasoning="hm", cached=64)
PANELS = {
    f"{board.uid}: {panel['title']}": panel
    for board in BOARDS.values()
    for panel in board.json()["panels"]
    if panel["type"] != "row" and "vllm:" not in str(panel)
}


@dataclass
class Seen:
    """A Prometheus that has all that was scraped, and when what was."""

    prometheus: Prometheus
    began: float
    well: float = 0.0
    troubled: float = 0.0
    firing_while_well: Mapping[str, str] | None = None


async def while_scraped(seen: Seen, load: Callable[[], Awaitable[object]]) -> float:
    """Calls again and again, until a few scrapes have seen some; the time then."""
    scrapes = 0
    while scrapes < SCRAPES:
        await asyncio.gather(load(), asyncio.sleep(1))
        now = await asyncio.to_thread(seen.prometheus.value, "sum(irate(portico_requests_total[5s])) > bool 0")
        scrapes += int(now)
    await asyncio.sleep(1.5)  # the last calls are scraped, and the rules worked out
    return time.time()


async def well(served: Served, key: str) -> None:
    for _ in range(2):
        replies = await asyncio.gather(served.chat(key, stream=True), served.chat(key))
        assert [reply.status for reply in replies] == [200, 200]


async def in_trouble(served: Served, engine: EngineDouble, key: str, poor: str) -> None:
    engine.plan(error(500))
    await served.chat(key)
    await served.chat(key, messages=[{"role": "user", "content": "Tell me of project lantern."}])
    await asyncio.gather(*(served.chat(poor) for _ in range(3)))
    async with served.opened(key, stream=True) as wire:
        await wire.head()
    engine.plan(*[answer(delay_s=0.3)] * 4)
    await asyncio.gather(*(served.chat(key) for _ in range(8)))


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Served, EngineDouble]]:
    policy = folder / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))
    sections: dict[str, Any] = {"engine": {"max_in_flight": 4}, "moderation": {"policy": str(policy)}}
    async with EngineDouble() as engine, serve(engine, folder / "gateway", **sections) as served:
        engine.always = answer(WELL, delay_s=0.01)
        yield served, engine


async def observed(folder: Path, start: Callable[[str], Prometheus]) -> Seen:
    async with serving(folder) as (served, engine):
        key, _ = await new_key(served)
        poor, _ = await new_key(served, requests_per_minute=1)
        prometheus = await asyncio.to_thread(start, f"127.0.0.1:{served.metrics_port}")
        seen = Seen(prometheus, time.time())
        seen.well = await while_scraped(seen, lambda: well(served, key))
        seen.firing_while_well = {
            rule["name"]: rule["state"] for rule in rules(prometheus) if rule["type"] == "alerting"
        }
        seen.troubled = await while_scraped(seen, lambda: in_trouble(served, engine, key, poor))
        return seen


def rules(prometheus: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("panels")
    started: list[Prometheus] = []

    def start(target: str) -> Prometheus:
        one = Prometheus(folder, {"portico": target})
        started.append(one)
        one.start()
        return one

    try:
        yield uvloop.run(asyncio.wait_for(observed(folder, start), 90))
    finally:
        for one in started:
            one.stop()


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_no_panel_is_empty_while_all_is_well(seen: Seen, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert seen.prometheus.draw(target, seen.began, seen.well), target["expr"]


TROUBLE = {
    "portico-overview: Requests by outcome": {"ok", "engine_error", "moderated", "limited", "client_gone"},
    "portico-overview: Failures by outcome": {"engine_error"},
    "portico-overview: Refused by limits": {"requests_per_minute"},
    "portico-overview: Clients that left": {"streaming"},
    "portico-overview: Queue wait, p95": {"standard"},
    "portico-moderation: Decisions by action": {"block"},
    "portico-moderation: Decisions by policy": {"house"},
    "portico-tenants: Outcomes": {"ok", "engine_error", "moderated", "limited", "client_gone"},
}


@pytest.mark.parametrize(("title", "legends"), TROUBLE.items(), ids=TROUBLE)
def test_trouble_is_drawn_by_its_names(seen: Seen, title: str, legends: set[str]) -> None:
    (target,) = PANELS[title]["targets"]
    drawn = seen.prometheus.draw(target, seen.well, seen.troubled)
    assert {value for labels in drawn for value in labels.values()} - {"none"} >= legends


def test_projects_have_their_names_and_those_of_one_name_stay_apart(seen: Seen) -> None:
    (target,) = PANELS["portico-tenants: Requests by project"]["targets"]
    drawn = seen.prometheus.draw(target, seen.well, seen.troubled)
    assert [labels["name"] for labels in drawn] == ["team", "team"]
    assert len({labels["project"] for labels in drawn}) == 2


def test_every_rule_can_be_worked_out(seen: Seen) -> None:
    assert [(rule["name"], rule.get("lastError")) for rule in rules(seen.prometheus) if rule["health"] != "ok"] == []


def test_no_alert_fires_while_all_is_well(seen: Seen) -> None:
    assert seen.firing_while_well
    assert {name for name, state in seen.firing_while_well.items() if state != "inactive"} == set()


def test_exporters_that_are_not_there_are_no_targets(seen: Seen) -> None:
    targets = seen.prometheus.api("targets", state="active")["activeTargets"]
    assert {target["labels"]["job"] for target in targets} == {"portico"}
