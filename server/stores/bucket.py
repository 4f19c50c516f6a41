"""A bucket of an S3-compatible store, as little of it as is needed. Everything has its time, and nothing is whole in
memory but what is small.

obstore runs in threads of its own, beside the event loop, and reads credentials, region and endpoint from the
environment (AWS_*). It tries again what may pass, and takes back an upload in parts that failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from server.stores.base import NotThere, StoreDown
from server.stores.files import Conflict, Object

PART_BYTES = 8 * 1024 * 1024  # of an upload in parts; S3 takes 10,000 of them
PARTS_AT_ONCE = 2  # of one upload
REQUEST_S, CONNECT_S = 30, 5  # of one request to the store
TRIES, TRIES_S = 3, 60
ASKED_S = 2.0 * (REQUEST_S + TRIES_S)  # the most that one question may take, for whatever obstore may overlook
DELETED_AT_ONCE = 1000
T = TypeVar("T")


class Bucket:
    """See `stores.files.Objects`. `url`: s3://BUCKET/PREFIX."""

    def __init__(self, url: str, tries: int = TRIES) -> None:
        self._store = S3Store.from_url(
            url,
            client_options={
                "allow_http": True,  # where the endpoint of the environment says so
                "timeout": timedelta(seconds=REQUEST_S),
                "connect_timeout": timedelta(seconds=CONNECT_S),
            },
            retry_config={"max_retries": tries, "retry_timeout": timedelta(seconds=TRIES_S)},
        )

    async def upload(self, place: Path, key: str) -> None:
        with _errors():
            await obstore.put_async(
                self._store, key, place, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )  # each part has its time

    async def create(self, key: str, data: bytes) -> None:
        with _errors():
            await _in_time(obstore.put_async(self._store, key, data, mode="create", use_multipart=False))

    async def size(self, key: str) -> int:
        with _errors():
            return (await _in_time(obstore.head_async(self._store, key)))["size"]

    async def read(self, key: str, start: int, length: int) -> bytes:
        with _errors():
            return bytes(await _in_time(obstore.get_range_async(self._store, key, start=start, length=length)))

    async def several(self, prefix: str) -> list[Object]:
        found: list[Object] = []
        with _errors():
            pages = obstore.list(self._store, prefix=prefix, chunk_size=1000)  # pyright: ignore[reportUnknownMemberType]
            async with asyncio.timeout(ASKED_S):
                async for page in pages:
                    found += [Object(one["path"], one["size"], one["last_modified"].timestamp()) for one in page]
        return sorted(found)

    async def delete(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        with _errors():
            for start in range(0, len(keys), DELETED_AT_ONCE):
                await _in_time(obstore.delete_async(self._store, keys[start : start + DELETED_AT_ONCE]))


async def _in_time(work: Awaitable[T]) -> T:
    async with asyncio.timeout(ASKED_S):
        return await work


@contextmanager
def _errors() -> Generator[None]:
    """In our words: what obstore says is long, and has the address of the store in it."""
    try:
        yield
    except FileNotFoundError:
        raise NotThere("there is no such content in the bucket of the files, or no such bucket") from None
    except AlreadyExistsError:
        raise Conflict("another process has written there") from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise StoreDown("the bucket of the files refuses the credentials of the environment (AWS_*)") from None
    except (BaseError, TimeoutError, OSError):
        raise StoreDown("the bucket of the files does not answer") from None
