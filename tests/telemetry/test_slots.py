"""What several workers wrote is added up as prometheus_client itself would, at a fraction of its cost."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from server.telemetry import families
from server.telemetry.exposition import MetricsListener
from server.telemetry.service import service_registry
from server.telemetry.slots import SlotFiles
from server.telemetry.text import TextFormat
from tests.telemetry.workers import MODELS, Workers, a_call

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
OUTCOMES = ("ok", "limited", "client_gone", "engine_error")


def samples(found: Iterable[Metric]) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in found
        for sample in family.samples
    }


def theirs(folder: Path) -> Samples:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))
    return samples(plain(generate_latest(registry).decode()))


class Ours:
    """Kept over several scrapes, as the listener keeps it."""

    def __init__(self, folder: Path) -> None:
        self._files, self._format = SlotFiles(folder), TextFormat(families.ALL)

    def text(self, *, modern: bool = False) -> str:
        return "\n".join((*self._format.lines(self._files.totals(), openmetrics=modern), ""))

    def samples(self) -> Samples:
        return samples(plain(self.text()))


happening = st.tuples(st.integers(0, 2), st.sampled_from(OUTCOMES), st.integers(0, 2), st.integers(0, 5))


@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(st.lists(st.lists(happening, max_size=6), max_size=4))
def test_as_prometheus_client_adds_up(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[int, str, int, int]]]
) -> None:
    folder = tmp_path_factory.mktemp("slots")
    with pytest.MonkeyPatch.context() as patch:
        workers, ours = Workers(folder, patch, projects=3), Ours(folder)
        started = [workers.start(slot) for slot in range(3)]
        for one in rounds:  # with a scrape after each
            for slot, outcome, model, project in one:
                metrics = started[slot].metrics
                metrics.engines.up("one", up=outcome == "ok")
                metrics.limits.degraded(outcome == "limited")
                metrics.stores.up("durable", outcome != "limited")
                started[slot].count(a_call(f"p{project}", outcome, MODELS[model]))
            assert ours.samples() == pytest.approx(theirs(folder)), "sums of seconds may differ in the last bit"


def test_sums_survive_a_death_and_a_restart_and_live_gauges_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, ours = Workers(tmp_path, monkeypatch), Ours(tmp_path)
    first, second = workers.start(0), workers.start(1)
    for one in (first, second):
        one.count(a_call(), a_call())
        one.metrics.began(a_call())
        one.metrics.flush()
    in_flight = ("portico_in_flight_requests", (("model", "gpt-oss-20b"),))
    requests = ("portico_project_requests_total", (("outcome", "ok"), ("project", "one")))
    assert (ours.samples()[requests], ours.samples()[in_flight]) == (4, 2)
    mark_process_dead(0, str(tmp_path))  # type: ignore[no-untyped-call]
    assert (ours.samples()[requests], ours.samples()[in_flight]) == (4, 1)
    again = workers.start(0)
    again.metrics.stores.up("volatile", True)  # its gauges are written in another order than before
    again.count(a_call())
    assert (ours.samples()[requests], ours.samples()[in_flight]) == (5, 1)
    assert ours.samples() == theirs(tmp_path)


def test_a_file_that_is_just_being_made(tmp_path: Path) -> None:
    (tmp_path / "counter_0.db").write_bytes(b"")
    (tmp_path / "histogram_0.db").write_bytes(bytes(4096))
    assert SlotFiles(tmp_path).totals() == {}


def test_ten_thousand_projects_have_a_bounded_exposition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever worker sees them, and in whichever order."""
    workers, ours = Workers(tmp_path, monkeypatch), Ours(tmp_path)
    both = [workers.start(slot) for slot in range(2)]
    for number in range(10_000):
        call = a_call(f"proj_{number:020}", OUTCOMES[number % 4])
        metrics = both[number % 2].metrics
        metrics.began(call)
        metrics.finished(call)
    for one in both:
        one.metrics.flush()
    found = ours.samples()
    by_project = {dict(labels)["project"]: 0.0 for _, labels in found if "project" in dict(labels)}
    for (name, labels), value in found.items():
        if name == "portico_project_requests_total":
            by_project[dict(labels)["project"]] += value
    assert len(by_project) == 101
    assert sum(by_project.values()) == 10_000
    assert by_project["other"] == 10_000 - 100
    assert len(ours.text()) < 400_000, "as docs/operations.md says"


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Workers(tmp_path, monkeypatch).start(0).count(a_call())
    monkeypatch.undo()
    bound = socket.create_server(("127.0.0.1", 0))
    certificate = Path(__file__).parent.parent / "data/tls/cert.pem"
    one = MetricsListener(tmp_path, bound, None, service_registry("1.2.3", certificate))
    one.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}/metrics"
    one.stop()


def scraped(url: str, **headers: str) -> tuple[str, str]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
        assert answer.headers["content-encoding"] is None
        return answer.headers["content-type"], answer.read().decode()


def test_both_formats_say_the_same(listener: str) -> None:
    kind, text = scraped(listener)
    modern, modern_text = scraped(listener, Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert (kind.split(";")[0], modern.split(";")[0]) == ("text/plain", "application/openmetrics-text")
    assert modern_text.endswith("# EOF\n")
    found = samples(openmetrics(modern_text))
    assert samples(plain(text)) == found
    assert found["portico_build_info", (("version", "1.2.3"),)] == 1
    assert found["portico_certificate_expiry_timestamp_seconds", ()] == 4949094850
    assert found["portico_time_per_output_token_seconds_sum", (("model", "gpt-oss-20b"),)] == 0.125
    assert found["portico_engine_time_seconds_sum", (("model", "gpt-oss-20b"),)] == 2
    assert found["portico_project_share_tokens_total", (("project", "one"),)] == 118


def test_every_declared_type_is_told(listener: str) -> None:
    _, text = scraped(listener)
    declared = {one.name: one.kind.lower() for one in families.ALL}
    told = {line.split(" ")[2]: line.split(" ")[3] for line in text.splitlines() if line.startswith("# TYPE ")}
    assert told.items() <= declared.items()
    assert {"portico_requests_total", "portico_build_info", "portico_engine_time_seconds"} <= told.keys()
