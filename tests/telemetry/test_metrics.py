"""Counting locally and handing over gives what prometheus_client would have counted itself."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from server import errors
from server.telemetry.families import LATENCY_S
from server.telemetry.local import LocalHistogram
from server.telemetry.metrics import FAULTS, Metrics


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


def test_faults_are_counted_from_zero() -> None:
    """Or a rate would not see the first one."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.refused("completions", "invalid", 0.5)
    metrics.tick(0.0)
    for outcome in FAULTS:
        labels = {"model": "", "endpoint": "completions", "outcome": outcome}
        assert registry.get_sample_value("portico_requests_total", labels) == 0


def test_faults_are_the_outcomes_of_every_5xx() -> None:
    def below(kind: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    assert set(FAULTS) == {kind.outcome for kind in below(errors.GatewayError) if kind.status >= 500}


def test_refusals_before_the_model_is_known() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.refused("completions", "invalid", 0.5)
    metrics.tick(0.0)
    labels = {"model": "", "endpoint": "completions", "outcome": "invalid"}
    assert registry.get_sample_value("portico_requests_total", labels) == 1
    assert registry.get_sample_value("portico_request_duration_seconds_sum", labels) == 0.5
