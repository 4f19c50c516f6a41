"""/v1/batches in OpenAI's shape."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from time import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from server.api.calls import check_endpoint
from server.api.listing import PageAsked, listing
from server.api.plain import read_body
from server.api.tenant_route import Caller, tenant_route
from server.auth.keys import KeyRing
from server.batches.states import cancelling
from server.batches.tools import LineKind, Store
from server.config import Server
from server.errors import InvalidValue, NotFound
from server.openai.batch_request import BATCH, WINDOW, WINDOW_S, validate_batch
from server.openai.parse import parse
from server.stores.base import NotThere
from server.stores.batches import BatchRecord, LineError

ENDPOINT = "batches"
Json = dict[str, Any]


def batch_routes(
    store: Store,
    kinds: Mapping[str, LineKind],
    keys: KeyRing,
    settings: Server,
    max_open: int,
    made: Callable[[], None],
    clock: Callable[[], float] = time,
) -> APIRouter:
    """`made` hears of each new batch."""
    router = APIRouter(prefix="/v1/batches", tags=["batches"], route_class=tenant_route(keys, ENDPOINT))

    @router.post("", summary="Create a batch", include_in_schema=False)  # `describe` does it
    async def create(request: Request, key: Caller) -> Json:  # pyright: ignore[reportUnusedFunction]
        asked = parse(BATCH, await read_body(request, settings), settings.max_json_depth)
        output_expires_s = validate_batch(asked, list(kinds))
        check_endpoint(key, kinds[asked.endpoint].name)
        try:
            file = await store.file(key.project.id, asked.input_file_id)
        except NotThere:
            raise NotFound("There is no file with this id.", param="input_file_id") from None
        if file.purpose != "batch":
            raise InvalidValue("The purpose of the input file must be 'batch'.", param="input_file_id")
        now = int(clock())
        record = BatchRecord(
            id=f"batch_{secrets.token_hex(12)}",
            project_id=key.project.id,
            key_id=key.id,
            endpoint=asked.endpoint,
            input_file_id=file.id,
            created_at=now,
            expires_at=now + WINDOW_S,
            metadata=asked.metadata,
            output_expires_s=output_expires_s,
        )
        await store.add_batch(record, max_open)
        made()
        return shape(record)

    @router.get("", summary="List batches")
    async def several(key: Caller, asked: Annotated[PageAsked, Query()]) -> Json:  # pyright: ignore[reportUnusedFunction]
        records = await store.batches(key.project.id, after=asked.after, limit=asked.limit + 1)
        return listing([shape(one) for one in records], asked.limit)

    @router.get("/{batch_id}", summary="Retrieve a batch")
    async def one(key: Caller, batch_id: str) -> Json:  # pyright: ignore[reportUnusedFunction]
        return shape(await store.batch(key.project.id, batch_id))

    @router.post("/{batch_id}/cancel", summary="Cancel a batch")
    async def cancel(key: Caller, batch_id: str) -> Json:  # pyright: ignore[reportUnusedFunction]
        now = int(clock())
        return shape(await store.change_batch(key.project.id, batch_id, lambda record: cancelling(record, now)))

    return router


def shape(record: BatchRecord) -> Json:
    """What is not known yet, and what never will be, is left out."""
    tokens = record.tokens
    fields: Json = {
        "id": record.id,
        "object": "batch",
        "endpoint": record.endpoint,
        "model": record.model,
        "errors": {"object": "list", "data": [_error(one) for one in record.errors]} if record.errors else None,
        "input_file_id": record.input_file_id,
        "completion_window": WINDOW,
        "status": record.status,
        "output_file_id": record.output_file_id,
        "error_file_id": record.error_file_id,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        **{f"{status}_at": at for status, at in record.times.items()},
        "request_counts": {
            "total": record.counts.total,
            "completed": record.counts.completed,
            "failed": record.counts.failed,
        },
        "usage": {
            "input_tokens": tokens.prompt,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.completion,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.prompt + tokens.completion,
        },
        "metadata": record.metadata,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _error(one: LineError) -> Json:
    return {"code": one.code, "message": one.message, "param": one.param, "line": one.line}
