"""/v1/organization/admin_api_keys"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field

from server.api.admin.administration import Administration
from server.api.admin.bodies import NewAdminKey
from server.api.admin.keys import expiry
from server.api.admin.route import By, Endpoint
from server.api.admin.shapes import admin_key_shape
from server.api.listing import Json, PageAsked, listing, part_of
from server.auth.issue import issue_admin_key
from server.stores.base import Directory
from server.stores.records import AdminKeyRecord

KEYS = "/admin_api_keys"


class AdminKeysAsked(PageAsked):
    order: Literal["asc", "desc"] = Field(default="asc", description="By the time of creation.")


class AdminKeys:
    def __init__(self, administration: Administration) -> None:
        self._store = administration.store
        self._admin = administration

    def endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("GET", KEYS, self.list, "List the admin keys")
        yield Endpoint("POST", KEYS, self.create, "Create an admin key; its value is shown once")
        yield Endpoint("GET", KEYS + "/{key_id}", self.retrieve, "Retrieve an admin key")
        yield Endpoint("DELETE", KEYS + "/{key_id}", self.delete, "Delete an admin key")

    async def list(self, asked: Annotated[AdminKeysAsked, Query()]) -> Json:
        if asked.order == "desc":
            found = await self._store.admin_keys(after=asked.after, limit=asked.limit + 1)
            return listing([admin_key_shape(key) for key in found], asked.limit)
        rows = [admin_key_shape(key) for key in await all_admin_keys(self._store)]
        return part_of(rows[::-1], asked.limit, asked.after)

    async def create(self, body: NewAdminKey, by: By) -> Json:
        now = self._admin.now()
        key, secret = issue_admin_key(self._admin.tag_key, now, body.name, expiry(now, body.expires_in_seconds))
        await self._store.create_admin_key(key, by)
        return admin_key_shape(key) | {"value": secret}

    async def retrieve(self, key_id: str) -> Json:
        return admin_key_shape(await self._store.admin_key(key_id))

    async def delete(self, key_id: str, by: By) -> Json:
        await self._store.delete_admin_key(key_id, by)
        return {"object": "organization.admin_api_key.deleted", "id": key_id, "deleted": True}


async def all_admin_keys(directory: Directory) -> list[AdminKeyRecord]:
    """Newest first. They are few."""
    found: list[AdminKeyRecord] = []
    while page := await directory.admin_keys(after=found[-1].id if found else None, limit=1000):
        found += page
    return found
