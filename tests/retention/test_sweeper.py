from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import pytest

from server.config import Retention as Settings
from server.duty import Duty
from server.retention.cutoff import cutoff, usage_cutoff
from server.retention.sweeper import BATCH, DUTY, TEXTS, Pace, Sweeper, removes
from server.stores.base import LogName, StoreDown

NOW = 1_795_842_000.0
FAST = Pace(look=0.001, duty=60, pause=0.0)


class StoreDouble:
    """Has so many old records of each kind."""

    def __init__(self, **old: int) -> None:
        self.old = {"usage": 0, "audit": 0, "decisions": 0, "responses": 0, "conversations": 0} | old
        self.asked: list[tuple[str, int]] = []
        self.whose: list[tuple[str, int, str | None, tuple[str, ...]]] = []
        self.duties = 0
        self.free = True
        self.down = False
        self._changed = asyncio.Condition()

    async def take_duty(self, name: str, for_s: int) -> bool:
        self.duties += 1
        async with self._changed:
            self._changed.notify_all()
        if self.down:
            raise StoreDown("the database is away")
        free, self.free = self.free, False
        return free

    async def drop_usage(self, before: int, limit: int) -> int:
        return self._take("usage", before, limit)

    async def cut_log(self, log: LogName, before: int, limit: int) -> int:
        return self._take(log, before, limit)

    async def drop_responses(
        self, before: int, limit: int, *, project_id: str | None = None, but: Collection[str] = ()
    ) -> int:
        self.whose.append(("responses", before, project_id, tuple(but)))
        return self._take("responses", before, limit)

    async def drop_conversations(
        self, before: int, limit: int, *, project_id: str | None = None, but: Collection[str] = ()
    ) -> int:
        self.whose.append(("conversations", before, project_id, tuple(but)))
        return self._take("conversations", before, limit)

    def _take(self, what: str, before: int, limit: int) -> int:
        self.asked.append((what, before))
        some = min(limit, self.old[what])
        self.old[what] -= some
        return some

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)


def sweeper(store: StoreDouble, settings: Settings) -> Sweeper:
    return Sweeper(store, settings, FAST, lambda: NOW)


def logs(usage_days: int | None = None, audit_days: int | None = None, decisions_days: int | None = None) -> Settings:
    """Nothing else is removed."""
    return Settings(usage_days=usage_days, audit_days=audit_days, decisions_days=decisions_days, responses_days=None)


async def test_all_that_is_old_in_batches(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    store = StoreDouble(usage=2 * BATCH + 1, audit=3, decisions=BATCH)
    await sweeper(store, logs(usage_days=90, audit_days=400, decisions_days=30)).sweep()
    assert set(store.old.values()) == {0}
    assert store.asked == [
        *[("usage", usage_cutoff(NOW, 90))] * 4,
        *[("audit", cutoff(NOW, 400))] * 2,
        *[("decisions", cutoff(NOW, 30))] * 2,
    ]
    assert f"retention: removed {2 * BATCH + 1} records of usage" in caplog.messages


async def test_what_is_kept_for_good_is_left_alone() -> None:
    store = StoreDouble(usage=1, audit=1, decisions=1)
    await sweeper(store, logs(audit_days=1)).sweep()
    assert store.old == {"usage": 1, "audit": 0, "decisions": 1, "responses": 0, "conversations": 0}


async def test_state() -> None:
    store = StoreDouble(responses=TEXTS + 1, conversations=1, usage=1)
    await sweeper(store, Settings()).sweep()
    assert (store.old["responses"], store.old["conversations"], store.old["usage"]) == (0, 0, 1), "30 days, by default"
    assert set(store.whose) == {(what, cutoff(NOW, 30), None, ()) for what in ("responses", "conversations")}


async def test_state_of_single_projects() -> None:
    """Each has its own time, and the others are left out of its time."""
    store = StoreDouble()
    await sweeper(store, Settings(responses_days=7, projects={"proj_1": 1, "proj_2": None})).sweep()
    both = ("responses", "conversations")
    singly = [(what, cutoff(NOW, 1), "proj_1", ()) for what in both]
    assert store.whose == singly + [(what, cutoff(NOW, 7), None, ("proj_1", "proj_2")) for what in both]


@pytest.mark.parametrize(
    ("settings", "something"),
    [
        (Settings(), True),
        (Settings(responses_days=None), False),
        (Settings(responses_days=None, usage_days=1), True),
        (Settings(responses_days=None, projects={"proj_1": None}), False),
        (Settings(responses_days=None, projects={"proj_1": 1}), True),
    ],
)
def test_whether_there_is_anything_to_do(settings: Settings, something: bool) -> None:
    assert removes(settings) is something


async def test_whose_duty_it_is_not_removes_nothing() -> None:
    store = StoreDouble(audit=1)
    store.free = False
    one = Duty(store, DUTY, sweeper(store, logs(audit_days=1)).sweep, FAST)
    await one.start()
    await store.until(lambda: store.duties >= 3)
    assert store.asked == []
    await one.stop()


async def test_it_goes_on_when_the_database_is_back(caplog: pytest.LogCaptureFixture) -> None:
    store = StoreDouble(audit=1)
    store.down = True
    one = Duty(store, DUTY, sweeper(store, logs(audit_days=1)).sweep, FAST)
    await one.start()
    await store.until(lambda: store.duties >= 2)
    assert "the database is away" in caplog.text
    store.down = False
    await store.until(lambda: store.old["audit"] == 0)
    await one.stop()
