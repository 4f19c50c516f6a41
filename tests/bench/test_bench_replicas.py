"""Three gateways, two engines, a Redis and a PostgreSQL under load, each taken away in turn; and what counts it."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.crowd import Stream, most_at_once, most_within
from bench.replicas import CONCURRENT, PER_MINUTE, Loss, Plan, judged
from bench.site import postgres_programs
from tests.conftest import lacking

ROOT = Path(__file__).parent.parent.parent
SPANS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), max_size=40)


def stream(begun: float, ended: float, gateway: int = 0, whole: bool = True, request_id: str = "r") -> Stream:
    return Stream(gateway, "k", begun, begun=begun, ended=ended, status=200, request_id=request_id, whole=whole)


@given(SPANS)
def test_most_at_once_and_most_within_count_as_counting_each_moment_does(spans: list[tuple[int, int]]) -> None:
    streams = [stream(begin, begin + length) for begin, length in spans]
    moments = [sum(begin <= at < begin + length for begin, length in spans) for at in range(80)]
    assert most_at_once(streams) == max(moments)
    windows = [sum(at <= begin < at + 10 for begin, _ in spans) for at in range(80)]
    assert most_within(streams, 10) == max(windows)


async def nothing() -> None:
    pass


def loss(lost: str) -> Loss:
    return Loss("a loss", nothing, nothing, lambda: True, lost)


def test_a_stream_may_break_only_on_what_was_lost() -> None:
    streams = [
        stream(1, 12, gateway=0, whole=False, request_id="a"),
        stream(1, 12, gateway=1, whole=False, request_id="b"),
        stream(1, 13, gateway=1, request_id="c"),
    ]
    engines = {"a": "engine1", "b": "engine2", "c": "engine1"}
    for lost, unjust in (("gateway1", 1), ("engine2", 1), ("gateway3", 2), ("", 2)):
        (row,) = judged(streams, [(loss(lost), 10, 14, 15)], engines).rows
        assert (row.open, row.broken, row.unjust, row.felt_s, row.well_s) == (3, 2, unjust, 2, 1)


def test_what_breaks_before_a_loss_is_a_fault() -> None:
    report = judged([stream(1, 2, whole=False)], [(loss(""), 10, 14, 15)], {})
    assert len(report.faults) == 1
    assert math.isclose(report.rows[0].felt_s, 0)


@pytest.mark.timeout(600)
def test_no_loss_breaks_a_stream_that_could_go_on_exceeds_a_limit_or_loses_usage() -> None:
    """The whole of it, in network namespaces where we are root. It takes about a minute and a half."""
    if shutil.which("redis-server") is None or postgres_programs() is None:
        lacking("redis-server and PostgreSQL are needed: apt-get install redis-server postgresql")
    done = subprocess.run(
        [sys.executable, "-m", "bench.replicas", "--json", "--away", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["faults"] == []
    assert done.returncode == 0

    rows = {row["name"]: row for row in report["rows"]}
    cuts = {"network cut: gateway, postgres", "network cut: gateway, engine", "network cut: gateway, redis"}
    assert rows.keys() >= {"gateway stopped", "gateway killed", "engine killed", "postgres killed", "redis killed"}
    assert cuts <= rows.keys() or os.geteuid() != 0
    # It was under load, what was killed carried a good part of it, and what can be taken over broke nothing.
    assert all(row["open"] > 0.6 * Plan.streams for row in rows.values())
    assert {name for name, row in rows.items() if row["broken"]} == {"gateway killed", "engine killed"}
    assert all(row["unjust"] == 0 for row in rows.values())
    assert rows["gateway killed"]["broken"] + rows["engine killed"]["broken"] > 0.3 * Plan.streams
    assert report["in_usage"] == report["streams"] > 1000
    assert CONCURRENT // 2 <= report["most_at_once"] <= CONCURRENT
    assert PER_MINUTE // 4 <= report["most_per_minute"] <= PER_MINUTE
