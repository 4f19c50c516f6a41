"""Removes what is old: now and then, by one process of all, a few records at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Protocol

from server.config import Retention as Settings
from server.duty import Turns
from server.retention.cutoff import cutoff, usage_cutoff
from server.stores.base import Retention
from server.stores.responses import StateRetention

DUTY = "retention"
BATCH = 500  # records in one transaction: some milliseconds, in which nobody else writes
TEXTS = 100  # the same for records that hold the text of conversations, which are larger
log = logging.getLogger("portico")
Step = Callable[[], Awaitable[int]]
"""Removes a batch of records at most; how many it removed."""


@dataclass(frozen=True)
class Pace(Turns):
    look: float = 300.0
    duty: int = 3600
    pause: float = 0.1  # between two batches, for those who wait to write


DEFAULT_PACE = Pace()


class Store(Retention, StateRetention, Protocol):
    """All that may hold what is old."""


def removes(settings: Settings) -> bool:
    """Whether anything is not kept for good."""
    logs = (settings.usage_days, settings.audit_days, settings.decisions_days)
    return any(days is not None for days in (*logs, settings.responses_days, *settings.projects.values()))


class Sweeper:
    """`sweep` is the work of a duty. One that takes longer than `Pace.duty` may get company, which is no harm: each
    batch is a transaction.
    """

    def __init__(
        self, store: Store, settings: Settings, pace: Pace = DEFAULT_PACE, clock: Callable[[], float] = time
    ) -> None:
        self._store = store
        self._settings = settings
        self._pace = pace
        self._clock = clock

    async def sweep(self) -> None:
        """All that is old now. Raises `StoreDown`."""
        for what, step in self._steps(self._clock()):
            removed = 0
            while some := await step():
                removed += some
                await asyncio.sleep(self._pace.pause)
            if removed:
                log.info("retention: removed %d records of %s", removed, what)

    def _steps(self, now: float) -> Iterator[tuple[str, Step]]:
        kept = self._settings
        if kept.usage_days is not None:
            yield "usage", partial(self._store.drop_usage, usage_cutoff(now, kept.usage_days), BATCH)
        if kept.audit_days is not None:
            yield "the audit log", partial(self._store.cut_log, "audit", cutoff(now, kept.audit_days), BATCH)
        if kept.decisions_days is not None:
            yield (
                "the log of decisions",
                partial(self._store.cut_log, "decisions", cutoff(now, kept.decisions_days), BATCH),
            )
        yield from self._state_steps(now)

    def _state_steps(self, now: float) -> Iterator[tuple[str, Step]]:
        kept, store = self._settings, self._store
        single = {project: days for project, days in kept.projects.items() if days is not None}
        for project, days in single.items():
            before = cutoff(now, days)
            yield "responses", partial(store.drop_responses, before, TEXTS, project_id=project)
            yield "conversations", partial(store.drop_conversations, before, TEXTS, project_id=project)
        if kept.responses_days is not None:
            before, but = cutoff(now, kept.responses_days), tuple(kept.projects)
            yield "responses", partial(store.drop_responses, before, TEXTS, but=but)
            yield "conversations", partial(store.drop_conversations, before, TEXTS, but=but)
