"""What every `ResponseStore` does with responses that run in the background."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from msgspec.structs import replace

from server.stores.base import NotThere
from server.stores.responses import ResponseRecord
from server.stores.sql.database import Database
from server.stores.sql.place import place_of
from server.stores.sql.store import SqlStore
from tests.contract.limit_stores import Clock
from tests.contract.state import SEALINGS, P, T, a_conversation, a_response, an_item, ids, opened, some_items
from tests.services.durable import Backend

QUEUED = a_response(status="queued", background=True, body=b'{"status":"queued"}')
DONE = replace(QUEUED, status="completed", body=b'{"status":"completed"}')
LEASE_S = 30.0


@pytest.fixture
def clock() -> Clock:
    return Clock(T)


@pytest.fixture(params=list(SEALINGS))
def store(backend: Backend, clock: Clock, request: pytest.FixtureRequest) -> AbstractAsyncContextManager[SqlStore]:
    return opened(backend, clock, SEALINGS[request.param])


def begun(record: ResponseRecord) -> ResponseRecord:
    return replace(record, status="in_progress", body=b'{"status":"in_progress"}')


def cancelled(record: ResponseRecord) -> ResponseRecord:
    return replace(record, status="cancelled", body=b'{"status":"cancelled"}')


async def queue(store: SqlStore, name: str = "resp_1", owner: str = "me", lease_s: float = LEASE_S) -> None:
    await store.open_response(replace(QUEUED, id=name), some_items(0, 2), owner, lease_s)


async def test_from_the_queue_to_the_end(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), [])
    one = replace(QUEUED, conversation_id="conv_1")
    await store.open_response(one, some_items(0, 2), "me", LEASE_S)
    assert await store.response(P, "resp_1") == one
    assert ids(await store.conversation_history(P, "conv_1")) == [], "not before its end"
    after = await store.change_response(P, "resp_1", begun)
    assert after == begun(one) == await store.response(P, "resp_1")
    done = replace(DONE, conversation_id="conv_1")
    assert await store.finish_response(done, some_items(2, 3))
    assert await store.response(P, "resp_1") == done
    assert ids(await store.input_items(P, "resp_1")) == ["msg_1", "msg_0"]
    assert ids(await store.conversation_history(P, "conv_1")) == ["msg_0", "msg_1", "msg_2"]
    assert not await store.finish_response(replace(done, status="failed"), some_items(3, 4)), "it has ended"
    assert await store.response(P, "resp_1") == done


async def test_its_history_is_as_of_others(store: SqlStore) -> None:
    await queue(store)
    await store.finish_response(DONE, some_items(2, 3))
    await store.add_response(a_response("resp_2", previous_id="resp_1"), [an_item("again")], [])
    assert ids(await store.history(P, "resp_2")) == ["msg_0", "msg_1", "msg_2", "again"]


async def test_cancelled_by_anybody(store: SqlStore) -> None:
    for name in ("resp_1", "resp_2"):
        await queue(store, name)
    assert await store.renew_responses("me", LEASE_S) == {"resp_1", "resp_2"}
    gone = await store.change_response(P, "resp_1", cancelled)
    assert gone.status == "cancelled"
    assert await store.renew_responses("me", LEASE_S) == {"resp_2"}, "so its owner hears of it"
    assert not await store.finish_response(DONE, some_items(2, 3))
    assert await store.response(P, "resp_1") == gone
    assert await store.change_response(P, "resp_1", begun) == gone, "what has ended does not begin again"
    with pytest.raises(NotThere):
        await store.change_response("proj_2", "resp_2", cancelled)


async def test_deleted_while_it_runs(store: SqlStore) -> None:
    await queue(store)
    await store.add_events("resp_1", 0, [b"{}"])
    await store.delete_response(P, "resp_1")
    assert await store.renew_responses("me", LEASE_S) == frozenset()
    assert not await store.finish_response(DONE, [])
    with pytest.raises(NotThere):
        await store.add_events("resp_1", 1, [b"{}"])
    with pytest.raises(NotThere):
        await store.events(P, "resp_1")


async def test_what_a_change_raises_changes_nothing(store: SqlStore) -> None:
    await queue(store)

    def refuse(_: ResponseRecord) -> ResponseRecord:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.change_response(P, "resp_1", refuse)
    assert (await store.response(P, "resp_1")).status == "queued"


async def test_one_that_has_ended_is_nobodys(store: SqlStore, backend: Backend) -> None:
    await queue(store)
    await store.finish_response(DONE, [])
    assert backend.sql("SELECT count(*) FROM responses WHERE owner IS NULL").strip() == "1"


# Owners


async def test_taken_over_when_its_owner_is_dead(store: SqlStore, clock: Clock) -> None:
    await queue(store, "resp_1", "first")
    await queue(store, "resp_2", "second", lease_s=2 * LEASE_S)
    await store.add_response(a_response("resp_3"), [], [])
    assert await store.take_over("third", LEASE_S) == []
    clock.now += LEASE_S + 1
    (taken,) = await store.take_over("third", LEASE_S)
    assert taken == QUEUED
    assert await store.take_over("fourth", LEASE_S) == [], "it has an owner again"
    assert await store.renew_responses("first", LEASE_S) == frozenset(), "and who was taken for dead hears of it"
    assert await store.renew_responses("third", LEASE_S) == {"resp_1"}


async def test_one_that_is_renewed_is_not_taken_over(store: SqlStore, clock: Clock) -> None:
    await queue(store)
    for _ in range(3):
        clock.now += LEASE_S - 1
        assert await store.take_over("other", LEASE_S) == []
        assert await store.renew_responses("me", LEASE_S) == {"resp_1"}


async def test_no_two_take_the_same(store: SqlStore, clock: Clock) -> None:
    for number in range(20):
        await queue(store, f"resp_{number}")
    clock.now += LEASE_S + 1
    taken = await asyncio.gather(*(store.take_over(f"other {number}", LEASE_S, limit=7) for number in range(4)))
    names = [one.id for some in taken for one in some]
    assert len(names) == len(set(names))
    rest = await store.take_over("last", LEASE_S)
    assert len(names) + len(rest) == 20


async def test_after_a_restart(store: SqlStore, backend: Backend, clock: Clock) -> None:
    """What one process left, the next one finds."""
    await queue(store)
    await store.add_events("resp_1", 0, [b'{"a":0}'])
    clock.now += LEASE_S + 1
    again = SqlStore(Database(place_of(backend.url, backend.home)), clock, store._sealing)
    (left,) = await again.take_over("another", LEASE_S)
    assert await again.events(P, left.id) == [b'{"a":0}']
    assert await again.finish_response(replace(left, status="failed"), [])
    assert (await store.response(P, "resp_1")).status == "failed"
    await again.close()


# Events of its stream


def events(first: int, end: int) -> list[bytes]:
    return [b'{"sequence_number":%d}' % number for number in range(first, end)]


async def test_events_from_anywhere(store: SqlStore) -> None:
    await queue(store)
    assert await store.events(P, "resp_1") == []
    for first, end in ((0, 3), (3, 4), (4, 10)):
        await store.add_events("resp_1", first, events(first, end))
    await store.add_events("resp_1", 3, events(3, 4))
    await store.add_events("resp_1", 10, [])
    for after in range(-1, 10):
        assert await store.events(P, "resp_1", after=after) == events(after + 1, 10)
    assert await store.events(P, "resp_1", after=99) == []
    with pytest.raises(NotThere):
        await store.events("proj_2", "resp_1")


async def test_events_a_part_at_a_time(store: SqlStore) -> None:
    await queue(store)
    for first in range(0, 100, 10):
        await store.add_events("resp_1", first, events(first, first + 10))
    found: list[bytes] = []
    while part := await store.events(P, "resp_1", after=len(found) - 1, limit=25):
        assert len(part) <= 25 + 10
        found += part
    assert found == events(0, 100)


async def test_events_go_with_their_response(store: SqlStore, backend: Backend) -> None:
    await queue(store)
    await store.add_events("resp_1", 0, events(0, 3))
    await store.delete_response(P, "resp_1")
    assert backend.sql("SELECT count(*) FROM response_events").strip() == "0"
