"""Traces beside the buckets that they fell into."""

from __future__ import annotations

import socket
import urllib.request
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from server.call import Call, Trace
from server.telemetry import families
from server.telemetry.exemplars import EVERY_S, ExemplarFile, read_exemplars
from server.telemetry.exposition import MetricsListener
from tests.telemetry.workers import MODELS, Workers, a_call

TRACE = Trace("ab" * 16, None, "cd" * 8, "ef" * 8, sampled=True)
DURATION = (families.DURATION.name, (MODELS[0].id, "chat.completions", "ok"))
FIRST = (families.FIRST_TOKEN.name, (MODELS[0].id,))
ENGINE = (families.ENGINE_TIME.name, (MODELS[0].id,))


def traced(took: float = 2.75, trace: Trace | None = TRACE) -> Call:
    call = a_call()
    call.trace, call.finished = trace, call.received + took
    return call


def noted(file: ExemplarFile, call: Call, now: float) -> None:
    assert call.finished is not None
    file.finished(call, call.finished)
    file.tick(now)


def test_the_latest_of_each_bucket_is_kept(tmp_path: Path) -> None:
    clock = iter([10.0, 20.0, 30.0])
    file = ExemplarFile(tmp_path, 0, lambda: next(clock))
    for index, took in enumerate((2.75, 3.5, 1000)):
        noted(file, traced(took, replace(TRACE, trace_id=f"{index:032x}")), EVERY_S * (index + 1))
    found = read_exemplars(tmp_path)
    assert {bound: (one.trace_id[-1], one.value, one.at) for bound, one in found[DURATION].items()} == {
        4: ("1", 3.5, 20.0),
        inf: ("2", 1000, 30.0),
    }
    assert {bound: one.value for bound, one in found[FIRST].items()} == {2: 1.5}
    assert {bound: one.value for bound, one in found[ENGINE].items()} == {2: 2.0}


@pytest.mark.parametrize("trace", [None, replace(TRACE, sampled=False), replace(TRACE, span=None)])
def test_only_traces_that_are_exported(trace: Trace | None, tmp_path: Path) -> None:
    noted(ExemplarFile(tmp_path, 0), traced(trace=trace), EVERY_S)
    assert list(tmp_path.iterdir()) == []


def test_of_several_workers_the_latest(tmp_path: Path) -> None:
    for seat, at in ((0, 20.0), (1, 30.0), (2, 10.0)):
        noted(ExemplarFile(tmp_path, seat, lambda at=at: at), traced(trace=replace(TRACE, trace_id=str(seat))), EVERY_S)
    (tmp_path / "exemplars-3.json").write_text("[half")
    (found,) = read_exemplars(tmp_path)[DURATION].values()
    assert (found.trace_id, found.at) == ("1", 30.0)


def test_not_more_often_than_once_a_second_and_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    file = ExemplarFile(tmp_path, 0)
    noted(file, traced(), 10.0)
    (written,) = tmp_path.iterdir()
    written.unlink()
    noted(file, traced(), 10.5)
    assert list(tmp_path.iterdir()) == []
    file.tick(11.0)
    assert written.exists()
    noted(ExemplarFile(tmp_path / "gone", 0), traced(), 10.0)


def test_a_scraper_that_asks_for_openmetrics_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Workers(tmp_path, monkeypatch).start(0)
    worker.count(traced())
    noted(ExemplarFile(tmp_path, 0, lambda: 1234.5678), traced(), EVERY_S)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        one = MetricsListener(tmp_path, listener, None, CollectorRegistry())
        one.start()

        def scraped(accept: str) -> str:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"
            with urllib.request.urlopen(urllib.request.Request(url, headers={"accept": accept})) as answer:
                return answer.read().decode()

        modern, plain = scraped("application/openmetrics-text"), scraped("text/plain")
        one.stop()
    assert "trace_id" not in plain
    with_exemplars = {
        (sample.name, sample.labels["le"]): (
            sample.exemplar.labels["trace_id"],
            sample.exemplar.value,
            float(sample.exemplar.timestamp or 0),
        )
        for family in openmetrics(modern)
        for sample in family.samples
        if sample.exemplar is not None
    }
    at = 1234.568
    assert with_exemplars == {
        ("portico_request_duration_seconds_bucket", "4.0"): (TRACE.trace_id, 2.75, at),
        ("portico_time_to_first_token_seconds_bucket", "2.0"): (TRACE.trace_id, 1.5, at),
        ("portico_engine_time_seconds_bucket", "2.0"): (TRACE.trace_id, 2.0, at),
    }
