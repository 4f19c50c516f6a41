"""What can be done with stored responses, and the count of a prompt: FastAPI's own routes below /v1/responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Request, Response
from msgspec import Meta, Struct
from starlette.responses import StreamingResponse

from server.api.caller import caller
from server.api.calls import CallFactory
from server.api.paging import PageAsked, asked_of, listed
from server.api.plain import read_body
from server.api.response_calls import ResponseCalls
from server.auth.keys import KeyRing
from server.call import Call
from server.config import Server
from server.errors import InvalidState, InvalidValue, NotFound, StoreUnavailable
from server.state.following import followed
from server.state.run import with_status
from server.state.runs import Runs
from server.stores.base import NotThere, StoreError
from server.stores.responses import Item, ResponseRecord

ENDPOINT = "responses"


class TokenCounter(Protocol):
    def count(self, call: Call) -> int | Awaitable[int]: ...


class Responses(Protocol):
    """See stores/responses.py."""

    async def response(self, project_id: str, response_id: str) -> ResponseRecord: ...

    async def events(self, project_id: str, response_id: str, *, after: int = -1, limit: int = 1000) -> list[bytes]: ...

    async def change_response(
        self, project_id: str, response_id: str, change: Callable[[ResponseRecord], ResponseRecord]
    ) -> ResponseRecord: ...

    async def delete_response(self, project_id: str, response_id: str) -> None: ...

    async def input_items(
        self, project_id: str, response_id: str, *, after: str | None, limit: int, newest_first: bool
    ) -> list[Item]: ...


class Retrieval(Struct, forbid_unknown_fields=True):
    stream: bool = False
    starting_after: Annotated[int, Meta(ge=0)] | None = None  # of a stream: the number of the last event seen
    include: list[str] = []
    include_obfuscation: bool = False


def response_routes(keys: KeyRing, store: Responses, runs: Runs) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/responses/{response_id}")
    async def retrieve(request: Request, response_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        key = await caller(request, keys, ENDPOINT)
        asked = asked_of(request, Retrieval)
        async with _stored():
            record = await store.response(key.project.id, response_id)
        if not asked.stream:
            return _json(record.body)
        if not record.background:
            raise InvalidValue("Only a response that runs in the background can be streamed again.", param="stream")
        after = -1 if asked.starting_after is None else asked.starting_after
        return StreamingResponse(_events(store, record, after), media_type="text/event-stream")

    @router.delete("/v1/responses/{response_id}")
    async def delete(request: Request, response_id: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        key = await caller(request, keys, ENDPOINT)
        async with _stored():
            await store.delete_response(key.project.id, response_id)
        runs.stop_one(response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    @router.post("/v1/responses/{response_id}/cancel")
    async def cancel(request: Request, response_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        key = await caller(request, keys, ENDPOINT)
        async with _stored():
            record = await store.change_response(key.project.id, response_id, _cancelled)
        if not record.background:
            raise InvalidState("Only a response that runs in the background can be cancelled.", param="response_id")
        runs.stop_one(record.id)
        return _json(record.body)

    @router.get("/v1/responses/{response_id}/input_items")
    async def input_items(request: Request, response_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        key = await caller(request, keys, ENDPOINT)
        asked = asked_of(request, PageAsked)
        async with _stored():
            found = await store.input_items(
                key.project.id,
                response_id,
                after=asked.after,
                limit=asked.limit + 1,
                newest_first=asked.order == "desc",
            )
        return _json(listed(found, asked.limit))

    return router


def prompt_routes(
    keys: KeyRing, factory: CallFactory, calls: ResponseCalls, counter: TokenCounter, settings: Server
) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/responses/input_tokens", include_in_schema=False)  # `describe` does it
    async def input_tokens(request: Request) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        key = await caller(request, keys, ENDPOINT)
        body = await read_body(request, settings)
        asked = factory.asked_input_tokens(body, key)
        call = await calls.make(asked, len(body), key, request.scope["state"]["request_id"])
        counted = counter.count(call)
        tokens = counted if isinstance(counted, int) else await counted
        return {"object": "response.input_tokens", "input_tokens": tokens}

    return router


@asynccontextmanager
async def _stored() -> AsyncGenerator[None]:
    """What the store raises, in OpenAI's words."""
    try:
        yield
    except NotThere:
        raise NotFound("There is no response with this id.", param="response_id") from None
    except StoreError:
        raise StoreUnavailable("Stored responses cannot be read now. Try again.", retry_after=1) from None


async def _events(store: Responses, record: ResponseRecord, after: int) -> AsyncGenerator[bytes]:
    """Whatever happens to the store, the stream ends in good order; where it ended the client can begin again."""
    with suppress(StoreError, TimeoutError):
        async for data in followed(store, record.project_id, record.id, after):
            yield data


def _cancelled(record: ResponseRecord) -> ResponseRecord:
    return with_status(record, "cancelled")


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
