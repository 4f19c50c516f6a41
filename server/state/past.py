"""Looks up what a request goes on from: stored turns, and stored items that its input refers to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

from server.errors import InvalidRequest, InvalidState, InvalidValue, NotFound, StoreUnavailable
from server.responses.kept import owner_of
from server.responses.request import Prompted
from server.responses.translate import Past, refers
from server.stores.base import NotAllowed, NotThere, StoreError
from server.stores.responses import BrokenChain, ChainTooLong, Item

MOST_OWNERS = 16  # responses whose items one request may refer to: a query for each
LOOKUP_S = 5.0


class Histories(Protocol):
    """See stores/responses.py."""

    async def history(self, project_id: str, response_id: str) -> list[Item]: ...

    async def conversation_history(self, project_id: str, conversation_id: str) -> list[Item]: ...


def goes_on(request: Prompted) -> bool:
    """Whether something has to be looked up for it. Raises `InvalidRequest`."""
    return request.previous_response_id is not None or request.conversation is not None or bool(refers(request))


class PastFinder:
    def __init__(self, store: Histories) -> None:
        self._store = store

    async def look(self, project_id: str, request: Prompted) -> Past:
        """Raises `GatewayError`."""
        refers_to = refers(request)
        try:
            async with asyncio.timeout(LOOKUP_S):
                items, where = await self._turns(project_id, request)
                referred = await self._referred(project_id, refers_to)
        except (StoreError, TimeoutError):
            raise StoreUnavailable("Stored responses cannot be read now. Try again.", retry_after=1) from None
        return Past([one.body for one in items], where, referred)

    async def _turns(self, project_id: str, request: Prompted) -> tuple[Sequence[Item], str]:
        if request.previous_response_id is not None:
            where = "previous_response_id"
            return await self._history(project_id, request.previous_response_id, where), where
        where, conversation = "conversation", request.conversation_id
        if conversation is None:
            return (), where
        try:
            return await self._store.conversation_history(project_id, conversation), where
        except NotThere:
            raise NotFound("There is no conversation with this id.", param=where) from None

    async def _history(self, project_id: str, response_id: str, where: str) -> list[Item]:
        try:
            return await self._store.history(project_id, response_id)
        except BrokenChain:
            raise NotFound(
                "A response that an earlier turn goes on from was deleted: its history is not whole any more.",
                param=where,
            ) from None
        except NotThere:
            raise NotFound("There is no response with this id.", param=where) from None
        except ChainTooLong as error:
            raise InvalidRequest(f"Too many turns go on from each other: {error}.", param=where) from None
        except NotAllowed as error:
            raise InvalidState(f"Nothing can go on from this response: {error}.", param=where) from None

    async def _referred(self, project_id: str, ids: frozenset[str]) -> dict[str, bytes]:
        """By id. Ids tell with which response an item came."""
        by_owner: defaultdict[str, set[str]] = defaultdict(set)
        for one in ids:
            owner = owner_of(one)
            if owner is None:
                raise _no_item()
            by_owner[owner].add(one)
        if len(by_owner) > MOST_OWNERS:
            raise InvalidValue(f"The input refers to items of more than {MOST_OWNERS} responses.", param="input")
        found: dict[str, bytes] = {}
        for owner, wanted in by_owner.items():
            try:
                items = await self._history(project_id, owner, "input")
            except NotFound:
                raise _no_item() from None
            for item in items:
                if item.id in wanted:
                    found[item.id] = item.body
        if len(found) < len(ids):
            raise _no_item()
        return found


def _no_item() -> NotFound:
    return NotFound("The input refers to an item that is not stored.", param="input")
