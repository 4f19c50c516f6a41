"""What the parts of Portico count, each in words of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry

from server.call import Call, Project
from server.config import PriorityClass
from server.telemetry import families
from server.telemetry.local import LocalCounter, LocalHistogram, LocalRegistry
from server.telemetry.projects import OTHER, ProjectNames

QueueCounts = Mapping[tuple[str, PriorityClass], int]  # by model and class
TOKEN_KINDS = ("prompt", "completion", "cached", "reasoning")  # in the order of the fields of `OneProject`
BreakerState = Literal["closed", "half_open", "open"]
BREAKER_STATES: Mapping[BreakerState, int] = {"closed": 0, "half_open": 1, "open": 2}


class QueueLength:
    """How many calls wait."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._queued = families.QUEUED.on(registry)
        self._seen: set[tuple[str, PriorityClass]] = set()

    def set(self, counts: QueueCounts) -> None:
        self._seen.update(counts)
        for labels in self._seen:
            self._queued.labels(*labels).set(counts.get(labels, 0))


class EngineSeries:
    """The series of the engines, by their names."""

    def __init__(self, local: LocalRegistry) -> None:
        self._up = families.ENGINE_UP.on(local.registry)
        self._breaker = families.BREAKER.on(local.registry)
        self._retries = local.counters(families.ENGINE_RETRIES)
        self._in_flight = families.ENGINE_IN_FLIGHT.on(local.registry)
        self.in_flight: Callable[[], Mapping[str, int]] = dict
        """Asked at each flush for what each engine has."""

    def up(self, engine: str, *, up: bool) -> None:
        self._up.labels(engine).set(up)

    def breaker(self, engine: str, state: BreakerState) -> None:
        self._breaker.labels(engine).set(BREAKER_STATES[state])

    def retried(self, engine: str, reason: str) -> None:
        """A call is tried again; `engine` and `reason` (a word of ours) say what failed."""
        self._retries[engine, reason].value += 1

    def flush(self) -> None:
        for engine, calls in self.in_flight().items():
            self._in_flight.labels(engine).set(calls)


class LimitSeries:
    """The series of the limits."""

    def __init__(self, local: LocalRegistry) -> None:
        self._refused = local.counters(families.LIMITED)
        self._degraded = families.LIMITS_DEGRADED.on(local.registry)

    def refused(self, kind: str) -> None:
        """A call was refused by a limit of this kind."""
        self._refused[kind,].value += 1

    def degraded(self, degraded: bool) -> None:
        self._degraded.set(degraded)


class UsageSeries:
    """The series of the usage log."""

    def __init__(self, local: LocalRegistry) -> None:
        self.depth: Callable[[], int] = int
        """Of the log, asked at each flush."""
        self._waiting = families.SPOOL.on(local.registry)
        self._lost = families.LOST_USAGE.on(local.registry)

    def lost(self, records: int) -> None:
        self._lost.inc(records)

    def flush(self) -> None:
        self._waiting.set(self.depth())


class StoreSeries:
    """The series of the stores."""

    def __init__(self, local: LocalRegistry) -> None:
        self._up = families.STORE_UP.on(local.registry)
        self._responses_lost = local.counters(families.LOST_RESPONSES)[()]
        self._expiring = families.KEYS_EXPIRING.on(local.registry)

    def up(self, store: Literal["durable", "volatile", "files"], up: bool) -> None:
        self._up.labels(store).set(up)

    def response_lost(self) -> None:
        self._responses_lost.value += 1

    def keys_expiring(self, within: str, keys: int) -> None:
        self._expiring.labels(within).set(keys)


class BatchSeries:
    """The series of batches."""

    def __init__(self, local: LocalRegistry) -> None:
        self._lines = local.counters(families.BATCH_LINES)
        for outcome in ("completed", "failed", "retried"):  # from 0 on, as a rate does not see the first of a series
            self._lines[outcome,].value = 0.0
        self._running = families.BATCHES_RUNNING.on(local.registry)

    def line(self, outcome: str) -> None:
        """A line was done, or is to be tried again; `outcome` is a word of ours."""
        self._lines[outcome,].value += 1

    def running(self, batches: int) -> None:
        self._running.set(batches)


class ToolSeries:
    """The series of tool servers, by their labels in the configuration. Outcomes are words of ours."""

    def __init__(self, local: LocalRegistry) -> None:
        self._calls = local.counters(families.TOOL_CALLS)
        self._time = local.histograms(families.TOOL_TIME)
        self._lists = local.counters(families.TOOL_LISTS)

    def called(self, server: str, outcome: str, seconds: float) -> None:
        self._calls[server, outcome].value += 1
        self._time[server,].observe(seconds)

    def listed(self, server: str, outcome: str) -> None:
        self._lists[server, outcome].value += 1


class ModerationSeries:
    """The series of the content filter. Policies are named by operators, so their number is bounded."""

    def __init__(self, local: LocalRegistry) -> None:
        self._decisions = local.counters(families.DECISIONS)
        self._failures = local.counters(families.JUDGE_FAILURES)
        self._reloads = local.counters(families.POLICY_RELOADS)
        for outcome in ("ok", "failed"):  # from 0 on, or an alert would not see the first
            self._reloads[outcome,].value = 0.0
        self._time = local.histograms(families.MODERATION_TIME)
        self._scanned = local.counters(families.SCANNED)

    def decided(self, policy: str, direction: str, tier: str, action: str) -> None:
        self._decisions[policy, direction, tier, action].value += 1

    def scanned(self, direction: str, characters: int, seconds: float) -> None:
        """Rules have looked at what a call says in one direction."""
        self._scanned[direction,].value += characters
        self._time["rules",].observe(seconds)

    def judged(self, judge: str, seconds: float) -> None:
        """A judge was asked; it may have given no verdict."""
        self._time[judge,].observe(seconds)

    def judge_failed(self, judge: str, failure: str, on_failure: str) -> None:
        """`on_failure`: open where the text passed all the same, else closed."""
        self._failures[judge, failure, on_failure].value += 1

    def reloaded(self, good: bool) -> None:
        self._reloads["ok" if good else "failed",].value += 1


@dataclass(frozen=True, slots=True)
class OneProject:
    """The series under one name."""

    ends: dict[str, LocalCounter]  # by outcome
    wait: LocalHistogram
    share: LocalCounter
    prompt: LocalCounter
    completion: LocalCounter
    cached: LocalCounter
    reasoning: LocalCounter


class ProjectSeries:
    """The series of the projects, under no more names than `names` gives."""

    def __init__(self, local: LocalRegistry, names: ProjectNames) -> None:
        self._names = names
        self._requests = local.counters(families.PROJECT_REQUESTS)
        self._tokens = local.counters(families.PROJECT_TOKENS)
        self._wait = local.histograms(families.PROJECT_QUEUE_WAIT)
        self._share = local.counters(families.PROJECT_SHARE)
        self._info = families.PROJECT_INFO.on(local.registry)
        self._by_name: dict[str, OneProject] = {}

    def finished(self, call: Call) -> None:
        name = self._names.of(call.key.project.id)
        of = self._by_name.get(name) or self._first_of(name, call.key.project)
        end = of.ends.get(call.outcome)
        if end is None:
            end = of.ends[call.outcome] = self._requests[name, call.outcome]
        end.value += 1
        of.share.value += call.charged
        if call.queued_s:
            of.wait.observe(call.queued_s)
        tokens = call.tokens
        if tokens is None:
            of.completion.value += call.streamed
            return
        of.prompt.value += tokens.prompt
        of.completion.value += tokens.completion
        of.cached.value += tokens.cached
        of.reasoning.value += tokens.reasoning

    def _first_of(self, name: str, project: Project) -> OneProject:
        """`name` is the label, `project` the first that has it."""
        self._info.labels(name, OTHER if name == OTHER else project.name).set(1)
        tokens = (self._tokens[name, kind] for kind in TOKEN_KINDS)
        made = self._by_name[name] = OneProject({}, self._wait[name,], self._share[name,], *tokens)
        return made
