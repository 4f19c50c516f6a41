"""/v1/files in OpenAI's shape. Contents are streamed both ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from server.api.listing import Asked, listing
from server.api.tenant_route import Caller, tenant_route
from server.auth.keys import KeyRing
from server.config import Server
from server.errors import RequestTimedOut
from server.files.library import Library
from server.openai.file_form import file_too_large
from server.stores.base import StoreError
from server.stores.files import FileRecord

ENDPOINT = "files"
FORM_BYTES = 65_536  # of an upload beside its file
READ_BYTES = 262_144
Json = dict[str, Any]
log = logging.getLogger("portico")


class FilesAsked(Asked):
    purpose: str | None = Field(default=None, max_length=32, description="Those of this purpose.")
    limit: int = Field(default=10_000, ge=1, le=10_000, description="How many at most.")
    order: Literal["asc", "desc"] = Field(default="desc", description="By their creation.")
    after: str | None = Field(default=None, max_length=128, description="Those after the one with this id.")


def file_routes(library: Library, keys: KeyRing, settings: Server, max_file_bytes: int) -> APIRouter:
    router = APIRouter(prefix="/v1/files", tags=["files"], route_class=tenant_route(keys, ENDPOINT))

    @router.post("", summary="Upload a file", openapi_extra=_UPLOAD)
    async def upload(request: Request, key: Caller) -> Json:  # pyright: ignore[reportUnusedFunction]
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > max_file_bytes + FORM_BYTES:
            raise file_too_large(max_file_bytes)
        form = library.form(request.headers.get("content-type", "").encode("latin-1"))
        return shape(await library.add(key.project.id, form, _parts(request, settings.client_timeout_s)))

    @router.get("", summary="List files")
    async def several(key: Caller, asked: Annotated[FilesAsked, Query()]) -> Json:  # pyright: ignore[reportUnusedFunction]
        records = await library.store.files(
            key.project.id,
            purpose=asked.purpose,
            after=asked.after,
            limit=asked.limit + 1,
            newest_first=asked.order == "desc",
        )
        return listing([shape(one) for one in records], asked.limit)

    @router.get("/{file_id}", summary="Retrieve a file")
    async def one(key: Caller, file_id: str) -> Json:  # pyright: ignore[reportUnusedFunction]
        return shape(await library.store.file(key.project.id, file_id))

    @router.delete("/{file_id}", summary="Delete a file")
    async def delete(key: Caller, file_id: str) -> Json:  # pyright: ignore[reportUnusedFunction]
        await library.delete(key.project.id, file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    @router.get("/{file_id}/content", summary="Retrieve the content of a file", response_class=Response)
    async def content(key: Caller, file_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        record = await library.store.file(key.project.id, file_id)
        async with library.reading(record):  # that it is there is known before the status
            pass
        return Content(library, record)

    return router


def shape(record: FileRecord) -> Json:
    fields: Json = {
        "id": record.id,
        "object": "file",
        "bytes": record.bytes,
        "created_at": record.created_at,
        "filename": record.filename,
        "purpose": record.purpose,
        "status": "processed",
    }
    return fields if record.expires_at is None else fields | {"expires_at": record.expires_at}


class Content(Response):
    """The content of a file, as fast as the client reads it. It ends when he leaves."""

    def __init__(self, library: Library, record: FileRecord) -> None:
        super().__init__(media_type="application/octet-stream", headers={"content-length": str(record.bytes)})
        self._library = library
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.get_running_loop().create_task(_gone(receive), name="client of a content")
        try:
            async with self._library.reading(self._record) as reader:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                try:
                    while (part := await reader.read(READ_BYTES)) and not gone.done():
                        await send({"type": "http.response.body", "body": part, "more_body": True})
                except StoreError as error:  # the connection breaks, as the end was not sent
                    log.warning("the content of a file is broken off: %s", error)
                    return
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _parts(request: Request, silence_s: float) -> AsyncIterator[bytes]:
    """The body. Raises `RequestTimedOut` for a client that is silent for longer."""
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(silence_s):
                part = await anext(stream, None)
            if part is None:
                return
            yield part
    except (TimeoutError, ClientDisconnect):
        raise RequestTimedOut("The file did not arrive in time.") from None


_STRING = {"type": "string"}
_UPLOAD: Json = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": ["batch", "user_data"]},
                        "expires_after[anchor]": _STRING,
                        "expires_after[seconds]": _STRING,
                    },
                }
            }
        },
    }
}
