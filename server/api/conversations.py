"""/v1/conversations: items that are kept for later responses, in OpenAI's shape.

A conversation belongs to the project of the key that made it. Every request counts to the limits on requests of its key
and project. Items are not moderated here, but when a response is made of them.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import Protocol, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response

from server.api.caller import caller
from server.api.http import new_request_id, pairs, rate_headers
from server.api.paging import PageAsked, asked_of, listed
from server.api.plain import read_body
from server.auth.keys import KeyRing
from server.call import Call, ServedModel
from server.config import Model, Server
from server.errors import GatewayError, InvalidState, InvalidValue, NotFound, StoreUnavailable
from server.openai.parse import parse
from server.responses.stored_conversation import (
    CHANGE,
    NEW,
    NEW_ITEMS,
    IncludeAsked,
    is_id,
    resource,
    stored_items,
)
from server.stores.base import NotAllowed, NotThere, StoreError
from server.stores.responses import ConversationRecord, ConversationStore, Item, ItemTaken, NoItem

ENDPOINT = "conversations"
SERVED = ServedModel(ENDPOINT, Model(engines=("none",)), 0)
PATH = "/v1/conversations"
OF_ONE = PATH + "/{conversation_id}"
ITEMS = OF_ONE + "/items"
OF_ITEM = ITEMS + "/{item_id}"
Body = TypeVar("Body", bound=msgspec.Struct)
log = logging.getLogger("portico")


class Limits(Protocol):
    def counted(self, call: Call) -> AbstractAsyncContextManager[None]:
        """A call that counts as a request and uses no tokens. Raises `GatewayError`."""
        ...


@dataclass(frozen=True)
class Visit:
    """A request that was let in."""

    request: Request
    call: Call
    settings: Server

    @property
    def project_id(self) -> str:
        return self.call.key.project.id

    async def body(self, decoder: msgspec.json.Decoder[Body]) -> Body:
        """Raises `GatewayError`."""
        return parse(decoder, await read_body(self.request, self.settings), self.settings.max_json_depth)

    def answer(self, body: bytes) -> Response:
        rate = self.call.rate
        told = (
            {} if rate is None else {name.decode(): value.decode() for name, value in pairs(rate_headers(rate, None))}
        )
        return Response(body, headers=told, media_type="application/json")

    def shown(self, record: ConversationRecord) -> Response:
        return self.answer(msgspec.json.encode(resource(record)))


class Door:
    """Lets requests in: with a key, within its limits, about what can be there."""

    def __init__(self, keys: KeyRing, limits: Limits, settings: Server) -> None:
        self._keys = keys
        self._limits = limits
        self._settings = settings

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Visit]:
        """Raises `GatewayError`, also for what the store raises meanwhile."""
        key = await caller(request, self._keys, ENDPOINT)
        for name, value in request.path_params.items():
            if not is_id(value):
                raise _not_there(name)
        call = Call(
            request.scope["state"]["request_id"], ENDPOINT, key, SERVED, None, stream=False, include_usage=False
        )
        async with self._limits.counted(call):
            try:
                yield Visit(request, call, self._settings)
            except StoreError as error:
                raise _told(error) from None


def conversation_routes(keys: KeyRing, store: ConversationStore, limits: Limits, settings: Server) -> APIRouter:
    router, door = APIRouter(tags=["conversations"]), Door(keys, limits, settings)
    _add_conversations(router, door, store)
    _add_items(router, door, store)
    return router


def _add_conversations(router: APIRouter, door: Door, store: ConversationStore) -> None:
    @router.post(PATH, summary="Create a conversation")
    async def create(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with door.open(request) as visit:
            asked = await visit.body(NEW)
            stem = new_request_id().removeprefix("req_")
            record = ConversationRecord(f"conv_{stem}", visit.project_id, int(time()), asked.metadata or {})
            await store.create_conversation(record, stored_items(asked.items or (), stem))
            return visit.shown(record)

    @router.get(OF_ONE, summary="Retrieve a conversation")
    async def retrieve(request: Request, conversation_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with door.open(request) as visit:
            return visit.shown(await store.conversation(visit.project_id, conversation_id))

    @router.post(OF_ONE, summary="Change the metadata of a conversation")
    async def update(request: Request, conversation_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with door.open(request) as visit:
            metadata = (await visit.body(CHANGE)).metadata or {}
            return visit.shown(await store.update_conversation(visit.project_id, conversation_id, metadata))

    @router.delete(OF_ONE, summary="Delete a conversation and its items")
    async def delete(request: Request, conversation_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with door.open(request) as visit:
            await store.delete_conversation(visit.project_id, conversation_id)
            gone = {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
            return visit.answer(msgspec.json.encode(gone))


def _add_items(router: APIRouter, door: Door, store: ConversationStore) -> None:
    @router.post(ITEMS, summary="Add items to a conversation")
    async def add(request: Request, conversation_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with door.open(request) as visit:
            asked_of(request, IncludeAsked)
            asked = await visit.body(NEW_ITEMS)
            items = stored_items(asked.items, new_request_id().removeprefix("req_"))
            await store.add_items(visit.project_id, conversation_id, items)
            return visit.answer(listed(items, len(items)))

    @router.get(ITEMS, summary="List the items of a conversation")
    async def list_items(request: Request, conversation_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with door.open(request) as visit:
            asked = asked_of(request, PageAsked)
            return visit.answer(listed(await _page(store, visit.project_id, conversation_id, asked), asked.limit))

    @router.get(OF_ITEM, summary="Retrieve an item of a conversation")
    async def item(request: Request, conversation_id: str, item_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with door.open(request) as visit:
            asked_of(request, IncludeAsked)
            return visit.answer((await store.item(visit.project_id, conversation_id, item_id)).body)

    @router.delete(OF_ITEM, summary="Delete an item of a conversation")
    async def delete_item(request: Request, conversation_id: str, item_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        async with door.open(request) as visit:
            return visit.shown(await store.delete_item(visit.project_id, conversation_id, item_id))


async def _page(store: ConversationStore, project_id: str, conversation_id: str, asked: PageAsked) -> list[Item]:
    """One more than asked for, where there are more. Raises `InvalidValue`, `StoreError`."""
    after, newest_first = asked.after, asked.order == "desc"
    try:
        if after is None or is_id(after):
            return await store.items(
                project_id, conversation_id, after=after, limit=asked.limit + 1, newest_first=newest_first
            )
    except NoItem:
        pass
    raise InvalidValue("'after' is not the id of an item of this conversation.", param="after")


def _not_there(name: str) -> NotFound:
    return NotFound(f"There is no {name.removesuffix('_id')} with this id.", param=name)


def _told(error: StoreError) -> GatewayError:
    if isinstance(error, NotThere):
        return _not_there("item_id" if isinstance(error, NoItem) else "conversation_id")
    if isinstance(error, ItemTaken):
        return InvalidValue("The conversation has an item with one of these ids already.", param="items")
    if isinstance(error, NotAllowed):
        text = str(error)
        return InvalidState(f"{text[:1].upper()}{text[1:]}.", param="items")
    log.error("conversations: %s", error)  # which tells nothing of what users wrote
    return StoreUnavailable("Conversations cannot be read or written now. Try again.", retry_after=1)
