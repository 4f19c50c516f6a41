"""Every metric of Portico, by name. Labels are bounded: no key, no user text.

Children are looked up once per label set and kept, because `labels(...)` is the dear part of prometheus_client.
With several workers each has a slot in a shared folder (`MultiProcessValue`), keyed by the worker's number and not by
its process id, so that sums survive a worker's death and the folder does not grow with restarts.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import values as prometheus_values

from server.call import Call

LATENCY_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600,
)  # fmt: skip
TOKEN_GAP_S = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5)
OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)

Finished = tuple[Callable[..., None], Callable[..., None], Callable[..., None]]


def use_worker_slot(slot: int) -> None:
    """Must come before any metric is made, in a process that has PROMETHEUS_MULTIPROC_DIR set."""
    prometheus_values.ValueClass = prometheus_values.MultiProcessValue(lambda: slot)  # pyright: ignore[reportUnknownMemberType]


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        labels = ("model", "endpoint", "outcome")
        self._requests = Counter("portico_requests_total", "Requests by how they ended.", labels, registry=r)
        self._duration = Histogram(
            "portico_request_duration_seconds",
            "From the complete request to the last byte of the answer.",
            labels,
            buckets=LATENCY_S,
            registry=r,
        )
        self._first = Histogram(
            "portico_time_to_first_token_seconds",
            "From the complete request to the first token of a streamed answer.",
            ("model",),
            buckets=LATENCY_S,
            registry=r,
        )
        self._gap = Histogram(
            "portico_inter_token_latency_seconds",
            "Between tokens of a streamed answer.",
            ("model",),
            buckets=TOKEN_GAP_S,
            registry=r,
        )
        self._overhead = Histogram(
            "portico_gateway_overhead_seconds",
            "Time in the gateway: neither queue nor engine.",
            ("endpoint",),
            buckets=OVERHEAD_S,
            registry=r,
        )
        self._wait = Histogram(
            "portico_queue_wait_seconds", "Wait for an engine.", ("class",), buckets=LATENCY_S, registry=r
        )
        self._standard = self._wait.labels("standard").observe
        self._tokens = Counter("portico_tokens_total", "Tokens by kind.", ("model", "kind"), registry=r)
        self._in_flight = Gauge(
            "portico_in_flight_requests", "Open calls.", ("model",), registry=r, multiprocess_mode="livesum"
        )
        self._engine_up = Gauge(
            "portico_engine_up",
            "Whether the engine answers its health probe.",
            ("engine",),
            registry=r,
            multiprocess_mode="livemostrecent",
        )
        self._leaks = Counter(
            "portico_leaked_control_tokens_total",
            "Answers from which leaked control tokens were cut.",
            ("model",),
            registry=r,
        )
        self._finished: dict[tuple[str, str, str], Finished] = {}
        self._models: dict[str, ModelMetrics] = {}

    def model(self, model: str) -> ModelMetrics:
        """The series of one configured model."""
        known = self._models.get(model)
        if known is None:
            known = self._models[model] = ModelMetrics(
                self._first.labels(model).observe,
                self._gap.labels(model),
                self._in_flight.labels(model),
                {
                    kind: self._tokens.labels(model, kind).inc
                    for kind in ("prompt", "completion", "cached", "reasoning")
                },
                self._leaks.labels(model).inc,
            )
        return known

    def inter_token(self, model: str) -> Callable[[float, int], None]:
        return self.model(model).gap

    def engine_up(self, engine: str, *, up: bool) -> None:
        self._engine_up.labels(engine).set(up)

    def refused(self, endpoint: str, outcome: str, seconds: float) -> None:
        """A request that ended before its model was known."""
        requests, duration, _ = self._end("", endpoint, outcome)
        requests()
        duration(seconds)

    def finished(self, call: Call) -> None:
        """Everything about a call that has ended."""
        requests, duration, observe_overhead = self._end(call.model.id, call.endpoint, call.outcome)
        requests()
        duration((call.finished or call.received) - call.received)
        observe_overhead(call.overhead_s())
        if call.queued_s:
            self._standard(call.queued_s)
        model = self.model(call.model.id)
        if call.stream and call.first_token is not None:
            model.first(call.first_token - call.received)
        if call.tokens is not None:
            tokens = model.tokens
            tokens["prompt"](call.tokens.prompt)
            tokens["completion"](call.tokens.completion)
            if call.tokens.cached:
                tokens["cached"](call.tokens.cached)
            if call.tokens.reasoning:
                tokens["reasoning"](call.tokens.reasoning)

    def _end(self, model: str, endpoint: str, outcome: str) -> Finished:
        key = (model, endpoint, outcome)
        known = self._finished.get(key)
        if known is None:
            known = self._finished[key] = (
                self._requests.labels(*key).inc,
                self._duration.labels(*key).observe,
                self._overhead.labels(endpoint).observe,
            )
        return known


class ModelMetrics:
    """Bound series of one model."""

    def __init__(
        self,
        first: Callable[[float], None],
        gap: Histogram,
        in_flight: Gauge,
        tokens: dict[str, Callable[[float], None]],
        leaked: Callable[[], None],
    ) -> None:
        self.first = first
        self._gap = gap
        self.in_flight = in_flight
        self.tokens = tokens
        self.leaked = leaked

    def gap(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self._gap.observe(seconds)
