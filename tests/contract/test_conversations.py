"""What every `ConversationStore` does, in plain and encrypted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from server.stores.base import NotThere
from server.stores.responses import ConversationFull, ConversationStore, ItemTaken
from server.stores.sql.items import page_of
from server.stores.sql.store import SqlStore
from tests.contract.state import SEALINGS, P, a_conversation, an_item, ids, opened, some_items
from tests.services.durable import Backend


@pytest.fixture(params=list(SEALINGS))
def store(backend: Backend, request: pytest.FixtureRequest) -> AbstractAsyncContextManager[SqlStore]:
    return opened(backend, sealing=SEALINGS[request.param])


async def missing(work: Awaitable[object], what: str = "conversation") -> None:
    with pytest.raises(NotThere, match=f"no {what} with this id"):
        await work


async def test_kept_as_it_was(store: SqlStore) -> None:
    kept: ConversationStore = store
    one = a_conversation(metadata={"a": "灯笼", "b": ""})
    await kept.create_conversation(one, some_items(0, 3))
    assert await kept.conversation(P, "conv_1") == replace(one, items=3)
    assert await kept.conversation_history(P, "conv_1") == some_items(0, 3)
    await kept.create_conversation(a_conversation("conv_2", metadata={}), [])
    assert await kept.conversation(P, "conv_2") == a_conversation("conv_2", metadata={})
    assert await kept.conversation_history(P, "conv_2") == []


async def test_metadata(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), some_items(0, 2))
    after = await store.update_conversation(P, "conv_1", {"k": "v"})
    assert after == a_conversation(metadata={"k": "v"}, items=2) == await store.conversation(P, "conv_1")


async def test_another_project_has_it_not(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), some_items(0, 2))
    for project, name in (("proj_2", "conv_1"), (P, "conv_2")):
        await missing(store.conversation(project, name))
        await missing(store.update_conversation(project, name, {}))
        await missing(store.delete_conversation(project, name))
        await missing(store.add_items(project, name, some_items(2, 3)))
        await missing(store.items(project, name))
        await missing(store.items(project, name, after="msg_0"))
        await missing(store.item(project, name, "msg_0"))
        await missing(store.delete_item(project, name, "msg_0"))
        await missing(store.conversation_history(project, name))
    assert await store.conversation(P, "conv_1") == a_conversation(items=2)


async def test_items(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), some_items(0, 2))
    await store.create_conversation(a_conversation("conv_2"), some_items(0, 1))
    await store.add_items(P, "conv_1", some_items(2, 4))
    assert await store.item(P, "conv_1", "msg_3") == an_item("msg_3")
    await missing(store.item(P, "conv_2", "msg_3"), "item")
    assert await store.delete_item(P, "conv_1", "msg_1") == a_conversation(items=3)
    await missing(store.delete_item(P, "conv_1", "msg_1"), "item")
    await missing(store.item(P, "conv_1", "msg_1"), "item")
    await store.add_items(P, "conv_1", some_items(1, 2))
    assert ids(await store.conversation_history(P, "conv_1")) == ["msg_0", "msg_2", "msg_3", "msg_1"]
    assert ids(await store.conversation_history(P, "conv_2")) == ["msg_0"]


async def test_two_items_of_one_id(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), some_items(0, 2))
    for new in (some_items(1, 3), [an_item("new"), an_item("new")]):
        with pytest.raises(ItemTaken) as error:
            await store.add_items(P, "conv_1", new)
        assert error.value.item_id == new[-1 if new[0].id == "new" else 0].id
    with pytest.raises(ItemTaken):
        await store.create_conversation(a_conversation("conv_2"), [an_item("a"), an_item("a")])
    await missing(store.conversation(P, "conv_2"))
    assert (await store.conversation(P, "conv_1")).items == 2 == len(await store.conversation_history(P, "conv_1"))


async def test_a_conversation_has_a_bound(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.stores.sql.conversations.MOST_ITEMS", 3)
    await store.create_conversation(a_conversation(), some_items(0, 2))
    with pytest.raises(ConversationFull, match="at most 3 items"):
        await store.add_items(P, "conv_1", some_items(2, 4))
    await store.add_items(P, "conv_1", some_items(2, 3))
    await store.delete_item(P, "conv_1", "msg_0")
    await store.add_items(P, "conv_1", some_items(3, 4))


async def test_gone_when_deleted(store: SqlStore, backend: Backend) -> None:
    await store.create_conversation(a_conversation(), some_items(0, 3))
    await store.delete_conversation(P, "conv_1")
    await missing(store.conversation(P, "conv_1"))
    await missing(store.delete_conversation(P, "conv_1"))
    assert backend.sql("SELECT count(*) FROM conversation_items").strip() == "0"


async def test_several_add_at_once(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), [])
    parts = [some_items(0, 3, f"part{number}_") for number in range(10)]
    await asyncio.gather(*(store.add_items(P, "conv_1", part) for part in parts))
    found = ids(await store.conversation_history(P, "conv_1"))
    assert sorted(found[start : start + 3] for start in range(0, 30, 3)) == sorted(ids(part) for part in parts)
    assert (await store.conversation(P, "conv_1")).items == 30


pages = st.tuples(st.one_of(st.none(), st.integers(0, 6)), st.integers(1, 8), st.booleans())


@given(asked=st.lists(pages, min_size=1, max_size=10), gone=st.sets(st.integers(0, 5)))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages(backend: Backend, asked: list[tuple[int | None, int, bool]], gone: set[int]) -> None:
    """As of a list that is here as a whole."""

    async def check() -> None:
        async with opened(backend) as store:
            await store.create_conversation(a_conversation(), some_items(0, 6))
            for number in gone:
                await store.delete_item(P, "conv_1", f"msg_{number}")
            there = [one for one in some_items(0, 6) if int(one.id[4:]) not in gone]
            for number, limit, newest_first in asked:
                after = None if number is None else f"msg_{number}"
                if number is None or (number < 6 and number not in gone):
                    found = await store.items(P, "conv_1", after=after, limit=limit, newest_first=newest_first)
                    assert found == page_of(there, after, limit, newest_first=newest_first)
                else:
                    await missing(store.items(P, "conv_1", after=after, limit=limit), "item")
            await store.delete_conversation(P, "conv_1")

    asyncio.run(check())
