"""Counts what happens to calls. Which metrics there are is in families.py.

With several workers each has a slot in a shared folder (`MultiProcessValue`), keyed by the worker's number and not by
its process id, so that sums survive a worker's death and the folder does not grow with restarts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client import values as prometheus_values

from server.call import Call
from server.config import PriorityClass
from server.openai.chat_request import AssistantMessage, ChatRequest, ToolMessage, UserMessage
from server.telemetry import families
from server.telemetry.exemplars import ExemplarFile
from server.telemetry.local import LocalCounter, LocalHistogram, LocalRegistry
from server.telemetry.process import ProcessSeries
from server.telemetry.projects import ProjectNames
from server.telemetry.series import (
    TOKEN_KINDS,
    BatchSeries,
    EngineSeries,
    LimitSeries,
    ModerationSeries,
    ProjectSeries,
    QueueCounts,
    QueueLength,
    StoreSeries,
    ToolSeries,
    UsageSeries,
)

SHORT_TOKENS = 256  # of an answer, reasoning included
SPOKEN = (UserMessage, AssistantMessage, ToolMessage)
LEFT = 499  # the status of a call whose client had got none


def use_worker_slot(slot: int) -> None:
    """Must come before any metric is made, in a process that has PROMETHEUS_MULTIPROC_DIR set."""
    prometheus_values.ValueClass = prometheus_values.MultiProcessValue(lambda: slot)  # pyright: ignore[reportUnknownMemberType]


FAULTS = (
    "error", "engine_error", "engine_unavailable", "engine_overloaded", "engine_timeout", "store_unavailable",
    "moderation_unavailable", "shutting_down",
)  # fmt: skip
"""Outcomes that are the service's fault. They are counted from 0 on, for a rate does not see the first of a series."""


@dataclass(slots=True)
class ModelSeries:
    """The series of one model."""

    short_answer: LocalHistogram
    first_token: LocalHistogram
    token_gap: LocalHistogram
    per_token: LocalHistogram
    engine_time: LocalHistogram
    tokens: dict[str, LocalCounter]
    leaks: LocalCounter
    null_answers: LocalCounter
    estimated: LocalCounter
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class EndSeries:
    """The series of one way for a request to end."""

    requests: LocalCounter
    duration: LocalHistogram
    overhead: LocalHistogram


class OnFirstUse(dict[str, ModelSeries]):
    """Makes what it does not hold; a look-up of what it holds costs no call."""

    def __init__(self, make: Callable[[str], ModelSeries]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: str) -> ModelSeries:
        self[key] = made = self._make(key)
        return made


class Metrics:
    """Counts locally; `tick` (or `flush`) hands over to `registry`. `exemplars`: where traces are exported."""

    def __init__(
        self,
        registry: CollectorRegistry,
        projects: ProjectNames | None = None,
        exemplars: ExemplarFile | None = None,
    ) -> None:
        self._exemplars = exemplars
        local = self._local = LocalRegistry(registry)
        self._requests = local.counters(families.REQUESTS)
        self._duration = local.histograms(families.DURATION)
        self._short_answer = local.histograms(families.SHORT_ANSWER)
        self._first_token = local.histograms(families.FIRST_TOKEN)
        self._gap = local.histograms(families.TOKEN_GAP)
        self._per_token = local.histograms(families.PER_TOKEN)
        self._engine_time = local.histograms(families.ENGINE_TIME)
        self._overhead = local.histograms(families.OVERHEAD)
        self._wait = local.histograms(families.QUEUE_WAIT)
        self._tokens = local.counters(families.TOKENS)
        self._leaks = local.counters(families.LEAKS)
        self._null_answers = local.counters(families.NULL_ANSWERS)
        self._estimated = local.counters(families.ESTIMATED)
        self._disconnects = local.counters(families.DISCONNECTS)
        self._spans = local.counters(families.TRACE_SPANS)
        self._in_flight = families.IN_FLIGHT.on(registry)
        self._queue = QueueLength(registry)
        self.engines = EngineSeries(local)
        self.limits = LimitSeries(local)
        self.usage = UsageSeries(local)
        self.stores = StoreSeries(local)
        self.moderation = ModerationSeries(local)
        self._process = ProcessSeries(registry)
        self.batches = BatchSeries(local)
        self.tools = ToolSeries(local)
        self._projects = ProjectSeries(local, projects or ProjectNames(0))
        self._ends: dict[tuple[str, str, str], EndSeries] = {}
        self.models = OnFirstUse(self._model)  # by id
        self.queued: Callable[[], QueueCounts] = dict
        """Asked at each flush for what waits."""
        for name in get_args(PriorityClass):
            self._wait[name,]  # there from the start, at zero

    def _model(self, model: str) -> ModelSeries:
        return ModelSeries(
            self._short_answer[model,],
            self._first_token[model,],
            self._gap[model,],
            self._per_token[model,],
            self._engine_time[model,],
            {kind: self._tokens[model, kind] for kind in TOKEN_KINDS},
            self._leaks[model,],
            self._null_answers[model,],
            self._estimated[model,],
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
        finished = call.finished or call.received
        end.requests.value += 1
        end.duration.observe(finished - call.received)
        end.overhead.observe(call.overhead_s())
        if call.queued_s:
            self._wait[call.priority,].observe(call.queued_s)
        if call.dispatched is not None:
            model.engine_time.observe((call.engine_done or finished) - call.dispatched)
        if call.stream and call.first_token is not None:
            model.first_token.observe(call.first_token - call.received)
            per_token = call.per_token_s()
            if per_token is not None:
                model.per_token.observe(per_token)
        if is_short(call):
            model.short_answer.observe(finished - call.received)
        if self._exemplars is not None:
            self._exemplars.finished(call, finished)
        if call.outcome == "client_gone":
            self._disconnects[phase_of(call),].value += 1
        self._count_tokens(call, model)
        self._projects.finished(call)

    def answered_here(self, call: Call) -> None:
        """A call that no model served has ended: it counts among those of its project. All else is `refused`'s."""
        self._projects.finished(call)

    def spans(self, outcome: str, number: int) -> None:
        """What became of spans of traces."""
        self._spans[outcome,].value += number

    def tick(self, now: float) -> None:
        self.flush()
        if self._exemplars is not None:
            self._exemplars.tick(now)

    def flush(self) -> None:
        self._local.flush()
        for name, model in self.models.items():
            self._in_flight.labels(name).set(model.in_flight)
        self.engines.flush()
        self.usage.flush()
        self._process.flush()
        self._queue.set(self.queued())

    def _count_tokens(self, call: Call, model: ModelSeries) -> None:
        if call.tokens is None:  # the engine tells at the end, and this call did not come to it
            model.tokens["completion"].value += call.streamed
            return
        model.estimated.value += call.estimated
        tokens = model.tokens
        tokens["prompt"].value += call.tokens.prompt
        tokens["completion"].value += call.tokens.completion
        tokens["cached"].value += call.tokens.cached
        tokens["reasoning"].value += call.tokens.reasoning
        if not call.streamed and call.tokens.completion and not call.tokens.reasoning and call.chats:
            model.null_answers.value += 1  # reasoning that is hidden does not come to be streamed, so it is looked for

    def _end(self, model: str, endpoint: str, outcome: str) -> EndSeries:
        key = (model, endpoint, outcome)
        known = self._ends.get(key)
        if known is None:
            for fault in FAULTS:
                self._requests[model, endpoint, fault].value += 0
            known = EndSeries(self._requests[key], self._duration[key], self._overhead[endpoint,])
            self._ends[key] = known
        return known


def is_short(call: Call) -> bool:
    """A good answer of at most `SHORT_TOKENS` to a chat of one turn: what a user waits for as a whole."""
    if call.outcome != "ok" or call.tokens is None or call.tokens.completion > SHORT_TOKENS:
        return False
    if not isinstance(call.body, ChatRequest):
        return False
    spoken = (one for one in call.body.messages if isinstance(one, SPOKEN))
    return next(spoken, None) is not None and next(spoken, None) is None  # a long chat is not read to its end


def phase_of(call: Call) -> str:
    """How far a call was whose client left."""
    if call.status != LEFT:
        return "streaming"
    return "queued" if call.dispatched is None else "before_first_byte"
