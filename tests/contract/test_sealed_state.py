"""With a key, nothing that users wrote or models answered is in the database as it was."""

from __future__ import annotations

import pytest

from server.stores.aes_gcm import AesGcm
from server.stores.base import StoreError
from server.stores.responses import Item
from server.stores.sealing import PLAIN, UnknownKey
from tests.contract.state import KEY, OTHER_KEY, P, a_conversation, a_response, opened
from tests.services.durable import Backend, SqliteBackend

SECRET = "the lantern is green"


def bytes_of(backend: Backend) -> bytes:
    """All that is kept."""
    if isinstance(backend, SqliteBackend):
        return b"".join(path.read_bytes() for path in backend.file.parent.iterdir() if path.is_file())
    tables = ("responses", "response_events", "conversations", "conversation_items")
    rows = "\n".join(backend.sql(f"SELECT * FROM {name}") for name in tables)
    return rows.encode() + b"".join(bytes.fromhex(word[2:]) for word in rows.replace("\n", "|").split("|") if
                                    word.startswith("\\x"))  # fmt: skip


async def fill(backend: Backend, key: str | None) -> None:
    item = Item("msg_1", b'{"id":"msg_1","text":"%b"}' % SECRET.encode())
    body = b'{"text":"%b"}' % SECRET.encode()
    async with opened(backend, sealing=PLAIN if key is None else AesGcm(key)) as store:
        await store.create_conversation(a_conversation(metadata={"about": SECRET}), [item])
        await store.add_response(a_response("resp_1", body=body), [item], [item])
        running = a_response("resp_2", body=body, status="queued", background=True)
        await store.open_response(running, [item], "me", 60)
        await store.add_events("resp_2", 0, [body])


async def test_nothing_can_be_read_without_the_key(backend: Backend) -> None:
    await fill(backend, KEY)
    assert SECRET.encode() not in bytes_of(backend)


async def test_and_it_would_be_found(backend: Backend) -> None:
    """Else the test above would show nothing."""
    await fill(backend, None)
    assert bytes_of(backend).count(SECRET.encode()) >= 7


async def test_a_key_that_is_given_later_and_one_that_is_changed(backend: Backend) -> None:
    await fill(backend, None)
    async with opened(backend, sealing=AesGcm(KEY)) as store:
        assert SECRET.encode() in (await store.response(P, "resp_1")).body, "what was plain can be read"
        await store.add_response(a_response("resp_3"), [], [])
    async with opened(backend, sealing=AesGcm(OTHER_KEY, [KEY])) as store:
        assert (await store.response(P, "resp_3")).body == a_response("resp_3").body
        await store.update_conversation(P, "conv_1", {"new": "one"})
    async with opened(backend, sealing=AesGcm(KEY)) as store:
        with pytest.raises(UnknownKey, match=r"stores\.encryption"):
            await store.conversation(P, "conv_1")
        assert len(await store.conversation_history(P, "conv_1")) == 1


async def test_a_text_in_anothers_place_is_not_believed(backend: Backend) -> None:
    """Who can write to the database cannot give one user the text of another."""
    async with opened(backend, sealing=AesGcm(KEY)) as store:
        for name in ("resp_1", "resp_2"):
            await store.add_response(a_response(name), [], [])
        backend.sql("UPDATE responses SET body = (SELECT body FROM responses WHERE id = 'resp_1') WHERE id = 'resp_2'")
        assert await store.response(P, "resp_1") == a_response("resp_1")
        with pytest.raises(StoreError, match="moved from its place"):
            await store.response(P, "resp_2")
