"""What every `ResponseStore` does with responses that have ended, in plain and encrypted."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from msgspec.structs import replace

from server.stores.base import NotAllowed, NotThere
from server.stores.responses import BrokenChain, ChainTooLong, ResponseStore
from server.stores.sql.store import SqlStore
from tests.contract.state import (
    SEALINGS,
    P,
    a_conversation,
    a_response,
    an_item,
    ids,
    opened,
    some_items,
)
from tests.services.durable import Backend


@pytest.fixture(params=list(SEALINGS))
def store(backend: Backend, request: pytest.FixtureRequest) -> AbstractAsyncContextManager[SqlStore]:
    return opened(backend, sealing=SEALINGS[request.param])


async def test_kept_as_it_was(store: SqlStore) -> None:
    kept: ResponseStore = store
    one = a_response(
        status="incomplete",
        body='{"id":"resp_1","text":"灯笼 \\u0000"}'.encode(),
        background=True,
        previous_id="resp_0",
        conversation_id="conv_0",
    )
    await kept.add_response(one, some_items(0, 2), some_items(2, 3))
    assert await kept.response(P, "resp_1") == one
    assert await kept.input_items(P, "resp_1", newest_first=False) == some_items(0, 2)


async def test_another_project_has_it_not(store: SqlStore) -> None:
    await store.add_response(a_response(), some_items(0, 2), [])
    for work in (
        lambda: store.response("proj_2", "resp_1"),
        lambda: store.input_items("proj_2", "resp_1"),
        lambda: store.history("proj_2", "resp_1"),
        lambda: store.delete_response("proj_2", "resp_1"),
        lambda: store.response(P, "resp_2"),
    ):
        with pytest.raises(NotThere, match="no response with this id"):
            await work()
    assert await store.response(P, "resp_1") == a_response()


async def test_again_is_no_harm(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), [])
    one = a_response(conversation_id="conv_1")
    for _ in range(2):
        await store.add_response(one, some_items(0, 1), some_items(1, 2))
    await store.add_response(replace(one, body=b'{"another": 1}'), some_items(7, 9), [])
    assert await store.response(P, "resp_1") == one
    assert ids(await store.conversation_history(P, "conv_1")) == ["msg_0", "msg_1"]


async def test_pages_of_input(store: SqlStore) -> None:
    await store.add_response(a_response(), some_items(0, 5), some_items(5, 7))
    page = await store.input_items(P, "resp_1", limit=2)
    assert ids(page) == ["msg_4", "msg_3"]
    assert ids(await store.input_items(P, "resp_1", limit=9, after="msg_3")) == ["msg_2", "msg_1", "msg_0"]
    assert ids(await store.input_items(P, "resp_1", limit=2, after="msg_1", newest_first=False)) == ["msg_2", "msg_3"]
    assert await store.input_items(P, "resp_1", after="msg_0") == []
    with pytest.raises(NotThere, match="no item with this id"):
        await store.input_items(P, "resp_1", after="msg_5")


async def test_gone_when_deleted(store: SqlStore, backend: Backend) -> None:
    await store.create_conversation(a_conversation(), [])
    await store.add_response(a_response(conversation_id="conv_1"), some_items(0, 1), some_items(1, 2))
    await store.add_response(a_response("resp_2"), [], [])
    await store.delete_response(P, "resp_1")
    for work in (store.response, store.delete_response, store.history, store.input_items):
        with pytest.raises(NotThere):
            await work(P, "resp_1")
    assert backend.sql("SELECT id FROM responses").strip() == "resp_2"
    assert ids(await store.conversation_history(P, "conv_1")) == ["msg_0", "msg_1"], "which is the conversation's own"


# Histories


async def chain_of(store: SqlStore, turns: int) -> None:
    """resp_0, resp_1, ... each with the items msg_<turn> and out_<turn>."""
    for turn in range(turns):
        before = f"resp_{turn - 1}" if turn else None
        await store.add_response(
            a_response(f"resp_{turn}", previous_id=before), [an_item(f"msg_{turn}")], [an_item(f"out_{turn}")]
        )


async def test_history_of_a_long_chain(store: SqlStore) -> None:
    await chain_of(store, 200)
    history = await store.history(P, "resp_199")
    assert ids(history) == [f"{kind}_{turn}" for turn in range(200) for kind in ("msg", "out")]
    assert history[0] == an_item("msg_0")
    assert ids(await store.history(P, "resp_1")) == ["msg_0", "out_0", "msg_1", "out_1"]


async def test_a_chain_that_forks(store: SqlStore) -> None:
    await chain_of(store, 2)
    await store.add_response(a_response("resp_x", previous_id="resp_0"), [an_item("msg_x")], [])
    assert ids(await store.history(P, "resp_x")) == ["msg_0", "out_0", "msg_x"]
    assert ids(await store.history(P, "resp_1")) == ["msg_0", "out_0", "msg_1", "out_1"]


async def test_a_deleted_link_is_told(store: SqlStore) -> None:
    await chain_of(store, 5)
    await store.delete_response(P, "resp_2")
    with pytest.raises(BrokenChain, match=r"resp_2.*deleted") as error:
        await store.history(P, "resp_4")
    assert error.value.missing == "resp_2"
    assert len(await store.history(P, "resp_1")) == 4, "what is before it is whole"


async def test_a_chain_does_not_lead_into_another_project(store: SqlStore) -> None:
    await store.add_response(a_response("resp_0", project_id="proj_2"), [an_item("secret")], [])
    await store.add_response(a_response("resp_1", previous_id="resp_0"), [an_item("msg_1")], [])
    with pytest.raises(BrokenChain):
        await store.history(P, "resp_1")


async def test_a_chain_has_a_bound(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.stores.sql.responses.MOST_TURNS", 3)
    await chain_of(store, 4)
    assert len(await store.history(P, "resp_2")) == 6
    with pytest.raises(ChainTooLong):
        await store.history(P, "resp_3")


async def test_histories_that_cannot_be(store: SqlStore) -> None:
    await store.add_response(a_response(conversation_id="conv_1"), [], [])
    with pytest.raises(NotAllowed, match="conv_1"):
        await store.history(P, "resp_1")
    await store.open_response(a_response("resp_2", status="queued", background=True), [], "me", 60)
    with pytest.raises(NotAllowed, match="not finished"):
        await store.history(P, "resp_2")


# In conversations


async def test_items_go_to_the_conversation(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), some_items(0, 1))
    await store.add_response(a_response("resp_1", conversation_id="conv_1"), some_items(1, 3), some_items(3, 4))
    await store.add_response(a_response("resp_2", conversation_id="conv_1"), some_items(2, 5), some_items(5, 6))
    assert ids(await store.conversation_history(P, "conv_1")) == [f"msg_{number}" for number in range(6)]
    assert (await store.conversation(P, "conv_1")).items == 6


async def test_a_conversation_that_is_gone_gets_nothing(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(project_id="proj_2"), [])
    for name in ("conv_1", "conv_2"):
        await store.add_response(a_response(f"resp_{name}", conversation_id=name), some_items(0, 1), [])
        assert (await store.response(P, f"resp_{name}")).conversation_id == name
    assert (await store.conversation("proj_2", "conv_1")).items == 0


async def test_several_at_once_in_one_conversation(store: SqlStore) -> None:
    await store.create_conversation(a_conversation(), [])
    await asyncio.gather(
        *(
            store.add_response(
                a_response(f"resp_{turn}", conversation_id="conv_1"), [an_item(f"in_{turn}")], [an_item(f"out_{turn}")]
            )
            for turn in range(20)
        )
    )
    found = ids(await store.conversation_history(P, "conv_1"))
    assert len(found) == 40
    assert all(found[found.index(f"in_{turn}") + 1] == f"out_{turn}" for turn in range(20)), "each turn in one piece"
