"""Counting locally and handing over gives what prometheus_client would have counted itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from server.telemetry.families import LATENCY_S
from server.telemetry.local import LocalHistogram
from server.telemetry.metrics import Metrics


@given(st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 5)) | st.none(), max_size=20))
def test_histogram(seen: list[tuple[float, int] | None]) -> None:
    registry = CollectorRegistry()
    ours, theirs = (Histogram(name, "x", buckets=LATENCY_S, registry=registry) for name in ("ours", "theirs"))
    local = LocalHistogram(ours, LATENCY_S)
    for one in seen:
        if one is None:
            local.flush()
            continue
        local.observe(*one)
        for _ in range(one[1]):
            theirs.observe(one[0])
    local.flush()
    for bound in LATENCY_S:
        labels = {"le": str(float(bound))}
        assert registry.get_sample_value("ours_bucket", labels) == registry.get_sample_value("theirs_bucket", labels)
    assert registry.get_sample_value("ours_count") == registry.get_sample_value("theirs_count")
    left, right = registry.get_sample_value("ours_sum") or 0, registry.get_sample_value("theirs_sum") or 0
    assert abs(left - right) <= 1e-9 * max(1, right)


def test_refusals_before_the_model_is_known() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.refused("completions", "invalid", 0.5)
    metrics.tick(0.0)
    labels = {"model": "", "endpoint": "completions", "outcome": "invalid"}
    assert registry.get_sample_value("portico_requests_total", labels) == 1
    assert registry.get_sample_value("portico_request_duration_seconds_sum", labels) == 0.5
