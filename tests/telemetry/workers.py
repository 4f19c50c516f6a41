"""Several workers' metrics in one process, each in its own slot of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import values as prometheus_values

from server.call import Call, Key, Project, ServedModel, Tokens
from server.config import Model
from server.telemetry.metrics import Metrics
from server.telemetry.projects import ProjectNames

MODELS = [ServedModel(f"gpt-oss-{size}", Model(engines=("one",)), 1) for size in ("20b", "120b", "safeguard")]


class Worker:
    """One in its slot. Series come to be in the slot of whoever acts: act by `metrics` of the worker to act as."""

    def __init__(self, slot: int, projects: ProjectNames, patch: pytest.MonkeyPatch) -> None:
        self._values = prometheus_values.MultiProcessValue(lambda: slot)
        self._patch = patch
        self._metrics = Metrics(self._as_it(CollectorRegistry()), projects)

    @property
    def metrics(self) -> Metrics:
        return self._as_it(self._metrics)

    def count(self, *calls: Call) -> None:
        metrics = self.metrics
        for call in calls:
            metrics.began(call)
            metrics.finished(call)
        metrics.flush()

    def _as_it(self, then: Any) -> Any:
        self._patch.setattr(prometheus_values, "ValueClass", self._values)
        return then


class Workers:
    """Those of one parent, with its folder."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, projects: int = 100) -> None:
        self.folder = folder
        self._patch = patch
        self._projects = projects
        patch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))

    def start(self, slot: int) -> Worker:
        """A worker, or the next one in the same slot."""
        return Worker(slot, ProjectNames(self._projects, self.folder / "projects"), self._patch)


def a_call(project: str = "one", outcome: str = "ok", model: ServedModel = MODELS[0]) -> Call:
    """One that has ended: it waited 0.5 s, then 1 s for its first token and 1 s for the eight after it."""
    key = Key("key_1", "k", Project(project, project))
    call = Call("req_1", "chat.completions", key, model, None, stream=True, include_usage=False, received=1.0)
    call.queued_s, call.dispatched, call.first_token, call.last_token = 0.5, 1.5, 2.5, 3.5
    call.engine_done, call.finished, call.status, call.outcome = 3.5, 3.75, 200, outcome
    call.tokens, call.streamed, call.charged = Tokens(100, 9, 60, 4), 9, 118.0
    return call
