"""What every `StateRetention` does: a little at a time, and what is gone is gone as a whole."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from server.stores.sql.store import SqlStore
from tests.contract.limit_stores import Clock
from tests.contract.state import P, T, a_conversation, a_response, opened, some_items
from tests.services.durable import Backend

DAY = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock(T)


@pytest.fixture
def store(backend: Backend, clock: Clock) -> AbstractAsyncContextManager[SqlStore]:
    return opened(backend, clock)


async def test_old_responses_in_batches(store: SqlStore, backend: Backend) -> None:
    for number in range(7):
        await store.add_response(a_response(f"resp_{number}", created_at=T + number), some_items(0, 1), [])
    await store.open_response(a_response("resp_old", created_at=T - 1, status="queued", background=True), [], "me", 60)
    await store.add_events("resp_old", 0, [b"{}"])
    assert [await store.drop_responses(T + 5, 4) for _ in range(3)] == [4, 2, 0]
    assert backend.sql("SELECT id FROM responses ORDER BY id").split() == ["resp_5", "resp_6"]
    assert backend.sql("SELECT count(*) FROM response_events").strip() == "0"


async def test_conversations_that_nobody_uses(store: SqlStore, backend: Backend, clock: Clock) -> None:
    for number in range(3):
        await store.create_conversation(a_conversation(f"conv_{number}", created_at=T), some_items(0, 2))
    clock.now += DAY
    await store.add_items(P, "conv_1", some_items(2, 3))
    assert await store.drop_conversations(T, 100) == 0
    assert await store.drop_conversations(T + 1, 100) == 2
    assert backend.sql("SELECT id FROM conversations").strip() == "conv_1"
    assert backend.sql("SELECT count(*) FROM conversation_items").strip() == "3"


async def test_large_conversations_one_at_a_time(store: SqlStore) -> None:
    for number, size in enumerate((5, 1, 1, 5, 0)):
        await store.create_conversation(a_conversation(f"conv_{number}", created_at=T + number), some_items(0, size))
    assert [await store.drop_conversations(T + DAY, 3) for _ in range(5)] == [1, 2, 1, 1, 0]


async def test_of_one_project_and_of_all_others(store: SqlStore, backend: Backend) -> None:
    for number in range(3):
        project = f"proj_{number}"
        await store.add_response(a_response(f"resp_{number}", project_id=project), [], [])
        await store.create_conversation(a_conversation(f"conv_{number}", project_id=project), [])
    for drop in (store.drop_responses, store.drop_conversations):
        assert await drop(T + 1, 100, project_id="proj_1") == 1
        assert await drop(T + 1, 100, but=("proj_2",)) == 1
    assert backend.sql("SELECT id FROM responses UNION SELECT id FROM conversations").split() == ["conv_2", "resp_2"]
