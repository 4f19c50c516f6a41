"""Every metric of Portico, by name. Labels are bounded: no key, no user text.

With several workers each has a slot in a shared folder (`MultiProcessValue`), keyed by the worker's number and not by
its process id, so that sums survive a worker's death and the folder does not grow with restarts.
"""

from __future__ import annotations

from collections import Counter as CountsOf
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import values as prometheus_values

from server.call import Call
from server.config import PriorityClass
from server.telemetry.local import Flushable, LocalCounter, LocalHistogram

LATENCY_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600,
)  # fmt: skip
TOKEN_GAP_S = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5)
OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
QueueCounts = Mapping[tuple[str, PriorityClass], int]  # by model and class
CountsByReason = CountsOf[str]
BREAKER_STATES = ("closed", "half_open", "open")
TOKEN_KINDS = ("prompt", "completion", "cached", "reasoning")


def use_worker_slot(slot: int) -> None:
    """Must come before any metric is made, in a process that has PROMETHEUS_MULTIPROC_DIR set."""
    prometheus_values.ValueClass = prometheus_values.MultiProcessValue(lambda: slot)  # pyright: ignore[reportUnknownMemberType]


@dataclass(slots=True)
class ModelSeries:
    """The series of one model."""

    first_token: LocalHistogram
    token_gap: LocalHistogram
    tokens: dict[str, LocalCounter]
    leaks: LocalCounter
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class EndSeries:
    """The series of one way for a request to end."""

    requests: LocalCounter
    duration: LocalHistogram
    overhead: LocalHistogram


class QueueLength:
    """How many calls wait."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._queued = Gauge(
            "portico_queued_requests",
            "Calls that wait for an engine.",
            ("model", "class"),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._seen: set[tuple[str, PriorityClass]] = set()

    def set(self, counts: QueueCounts) -> None:
        self._seen.update(counts)
        for labels in self._seen:
            self._queued.labels(*labels).set(counts.get(labels, 0))


class LimitSeries:
    """The series of the limits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "portico_limited_total", "Calls refused by a limit, by its kind.", ("limit",), registry=registry
        )
        self._degraded = Gauge(
            "portico_limits_degraded",
            "Whether limits are enforced without their shared store.",
            registry=registry,
            multiprocess_mode="livemax",
        )

    def refused(self, kind: str) -> None:
        """A call was refused by a limit of this kind."""
        self._refused.labels(kind).inc()

    def degraded(self, degraded: bool) -> None:
        self._degraded.set(degraded)


class UsageSeries:
    """The series of the usage log."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.depth: Callable[[], int] = int
        """Of the log, asked at each flush."""
        self._waiting = Gauge(
            "portico_usage_spool_records",
            "Usage records that are not in the database yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._lost = Counter(
            "portico_usage_lost_records_total", "Usage records that could be kept nowhere.", registry=registry
        )

    def lost(self, records: int) -> None:
        self._lost.inc(records)

    def flush(self) -> None:
        self._waiting.set(self.depth())


class ModerationSeries:
    """The series of the content filter. Policies are named by operators, so their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Counter(
            "portico_moderation_decisions_total",
            "Requests and answers in which something was found, by tier and action.",
            ("policy", "direction", "tier", "action"),
            registry=registry,
        )
        self._failures = Counter(
            "portico_moderation_judge_failures_total",
            "Texts of which a classifier or judge gave no verdict.",
            ("judge", "failure"),
            registry=registry,
        )
        self._reloads = Counter(
            "portico_moderation_reloads_total", "Policies loaded anew, by outcome.", ("outcome",), registry=registry
        )

    def decided(self, policy: str, direction: str, tier: str, action: str) -> None:
        self._decisions.labels(policy, direction, tier, action).inc()

    def judge_failed(self, judge: str, failure: str) -> None:
        self._failures.labels(judge, failure).inc()

    def reloaded(self, good: bool) -> None:
        self._reloads.labels("ok" if good else "failed").inc()


class MeteredEngine(Protocol):
    """What is asked of an engine at each flush."""

    @property
    def name(self) -> str: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def breaker(self) -> str: ...

    @property
    def retries(self) -> CountsByReason: ...


class EngineSeries:
    """The series of the engines, which know themselves what there is to know."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.engines: Sequence[MeteredEngine] = ()
        self._up = Gauge(
            "portico_engine_up",
            "Whether the engine answers its health probe.",
            ("engine",),
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self._in_flight = Gauge(
            "portico_engine_in_flight_requests",
            "Calls that an engine has.",
            ("engine",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._breaker = Gauge(
            "portico_breaker_state",
            "Of an engine: 0 closed, 1 half-open, 2 open; of several workers' the highest.",
            ("engine",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._retries = Counter(
            "portico_engine_retries_total",
            "Calls that an engine failed and that were tried at another, by reason.",
            ("engine", "reason"),
            registry=registry,
        )

    def up(self, engine: str, *, up: bool) -> None:
        self._up.labels(engine).set(up)

    def flush(self) -> None:
        for engine in self.engines:
            self._in_flight.labels(engine.name).set(engine.in_flight)
            self._breaker.labels(engine.name).set(BREAKER_STATES.index(engine.breaker))
            for reason, count in engine.retries.items():
                self._retries.labels(engine.name, reason).inc(count)
            engine.retries.clear()


class OnFirstUse(dict[str, ModelSeries]):
    """Makes what it does not hold; a look-up of what it holds costs no call."""

    def __init__(self, make: Callable[[str], ModelSeries]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: str) -> ModelSeries:
        self[key] = made = self._make(key)
        return made


class Metrics:
    """Counts locally; `tick` (or `flush`) hands over to `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        by_end = ("model", "endpoint", "outcome")
        self._requests = Counter("portico_requests_total", "Requests by how they ended.", by_end, registry=r)
        self._duration = Histogram(
            "portico_request_duration_seconds",
            "From the complete request to the last byte of the answer.",
            by_end,
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
        self._tokens = Counter("portico_tokens_total", "Tokens by kind.", ("model", "kind"), registry=r)
        self._leaks = Counter(
            "portico_leaked_control_tokens_total", "Answers cut at a leaked control token.", ("model",), registry=r
        )
        self._in_flight = Gauge(
            "portico_in_flight_requests", "Open calls.", ("model",), registry=r, multiprocess_mode="livesum"
        )
        self.limits = LimitSeries(r)
        self.usage = UsageSeries(r)
        self.moderation = ModerationSeries(r)
        self.engines = EngineSeries(r)
        self._local: list[Flushable] = []
        self._ends: dict[tuple[str, str, str], EndSeries] = {}
        self._overheads: dict[str, LocalHistogram] = {}
        self.models = OnFirstUse(self._model)  # by id
        self._queue = QueueLength(registry)
        self.queued: Callable[[], QueueCounts] = dict
        """Asked at each flush for what waits."""
        self._waits = {name: self._histogram(self._wait.labels(name), LATENCY_S) for name in get_args(PriorityClass)}

    def _model(self, model: str) -> ModelSeries:
        return ModelSeries(
            self._histogram(self._first.labels(model), LATENCY_S),
            self._histogram(self._gap.labels(model), TOKEN_GAP_S),
            {kind: self._counter(self._tokens.labels(model, kind)) for kind in TOKEN_KINDS},
            self._counter(self._leaks.labels(model)),
        )

    def refused(self, endpoint: str, outcome: str, seconds: float) -> None:
        """A request that ended before its model was known."""
        end = self._end("", endpoint, outcome)
        end.requests.value += 1
        end.duration.observe(seconds)

    def began(self, call: Call) -> None:
        self.models[call.model.id].in_flight += 1

    def finished(self, call: Call) -> None:
        """Everything about a call that has ended."""
        model = self.models[call.model.id]
        model.in_flight -= 1
        end = self._end(call.model.id, call.endpoint, call.outcome)
        end.requests.value += 1
        end.duration.observe((call.finished or call.received) - call.received)
        end.overhead.observe(call.overhead_s())
        if call.queued_s:
            self._waits[call.priority].observe(call.queued_s)
        if call.stream and call.first_token is not None:
            model.first_token.observe(call.first_token - call.received)
        if call.tokens is not None:
            tokens = model.tokens
            tokens["prompt"].value += call.tokens.prompt
            tokens["completion"].value += call.tokens.completion
            tokens["cached"].value += call.tokens.cached
            tokens["reasoning"].value += call.tokens.reasoning
        else:  # the engine tells at the end, and this call did not come to it
            model.tokens["completion"].value += call.streamed

    def tick(self, now: float) -> None:
        self.flush()

    def flush(self) -> None:
        for series in self._local:
            series.flush()
        for name, model in self.models.items():
            self._in_flight.labels(name).set(model.in_flight)
        self.usage.flush()
        self.engines.flush()
        self._queue.set(self.queued())

    def _end(self, model: str, endpoint: str, outcome: str) -> EndSeries:
        key = (model, endpoint, outcome)
        known = self._ends.get(key)
        if known is None:
            overhead = self._overheads.get(endpoint)
            if overhead is None:
                overhead = self._overheads[endpoint] = self._histogram(self._overhead.labels(endpoint), OVERHEAD_S)
            known = self._ends[key] = EndSeries(
                self._counter(self._requests.labels(*key)),
                self._histogram(self._duration.labels(*key), LATENCY_S),
                overhead,
            )
        return known

    def _counter(self, child: Counter) -> LocalCounter:
        counter = LocalCounter(child)
        self._local.append(counter)
        return counter

    def _histogram(self, child: Histogram, bounds: tuple[float, ...]) -> LocalHistogram:
        histogram = LocalHistogram(child, bounds)
        self._local.append(histogram)
        return histogram
