"""/v1/organization/projects/{project_id}/api_keys

OpenAI's API lists, shows and deletes keys; people make them in its dashboard. Making, changing and rotating them are
Portico's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from fastapi import Query
from msgspec.structs import replace
from pydantic import Field

from server.api.admin.administration import Administration
from server.api.admin.bodies import KeyChange, NewKey, Rotation
from server.api.admin.route import By, Endpoint
from server.api.admin.shapes import key_shape
from server.api.listing import Json, PageAsked, listing
from server.auth.issue import issue_key, issue_successor
from server.stores.base import NotThere
from server.stores.records import KeyRecord, ServiceAccountRecord

KEYS = "/projects/{project_id}/api_keys"


class KeysAsked(PageAsked):
    include_revoked: bool = Field(default=False, description="Revoked ones too.")
    owner_project_access: Literal["active", "inactive", "any"] = Field(
        default="any", description="`inactive`: those whose owner has no access, of which Portico has none."
    )


class Keys:
    def __init__(self, administration: Administration) -> None:
        self._store = administration.store
        self._admin = administration

    def endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("GET", KEYS, self.list, "List the keys of a project")
        yield Endpoint("POST", KEYS, self.create, "Create a key; its value is shown once")
        yield Endpoint("GET", KEYS + "/{key_id}", self.retrieve, "Retrieve a key")
        yield Endpoint("POST", KEYS + "/{key_id}", self.change, "Change a key")
        yield Endpoint("DELETE", KEYS + "/{key_id}", self.revoke, "Revoke a key")
        yield Endpoint("POST", KEYS + "/{key_id}/rotate", self.rotate, "A new key in place of one; shown once")

    async def list(self, project_id: str, asked: Annotated[KeysAsked, Query()]) -> Json:
        await self._store.project(project_id)
        if asked.owner_project_access == "inactive":
            return listing([], asked.limit)
        found = await self._store.keys(
            project_id, after=asked.after, limit=asked.limit + 1, revoked=asked.include_revoked
        )
        accounts = await self._accounts(found)
        return listing([key_shape(key, accounts.get(key.service_account_id or "")) for key in found], asked.limit)

    async def create(self, project_id: str, body: NewKey, by: By) -> Json:
        now = self._admin.now()
        key, secret = issue_key(
            self._admin.tag_key,
            now,
            project_id,
            body.name,
            self._admin.grants(body),
            expires_at=expiry(now, body.expires_in_seconds),
        )
        await self._store.create_key(key, by)
        return key_shape(key, None) | {"value": secret}

    async def retrieve(self, project_id: str, key_id: str) -> Json:
        return await self._shape(await self._live(project_id, key_id))

    async def change(self, project_id: str, key_id: str, body: KeyChange, by: By) -> Json:
        await self._live(project_id, key_id)

        def change(before: KeyRecord) -> KeyRecord:
            end = before.expires_at
            if "expires_in_seconds" in body.model_fields_set:
                end = expiry(self._admin.now(), body.expires_in_seconds)
            grants = self._admin.grants(body, before.grants)
            return replace(before, name=body.name or before.name, grants=grants, expires_at=end)

        return await self._shape(await self._store.change_key(key_id, change, by))

    async def revoke(self, project_id: str, key_id: str, by: By) -> Json:
        await self._live(project_id, key_id)
        await self._store.revoke_key(project_id, key_id, by)
        return {"object": "organization.project.api_key.deleted", "id": key_id, "deleted": True}

    async def rotate(self, project_id: str, key_id: str, by: By, body: Rotation | None = None) -> Json:
        old = await self._live(project_id, key_id)
        new, secret = issue_successor(self._admin.tag_key, self._admin.now(), old)
        await self._store.rotate_key(key_id, new, (body or Rotation()).overlap_seconds, by)
        return await self._shape(new) | {"value": secret, "rotated_from": key_id}

    async def _live(self, project_id: str, key_id: str) -> KeyRecord:
        """What was deleted is not there, as in OpenAI's API. Raises `NotThere`."""
        key = await self._store.key(project_id, key_id)
        if key.revoked_at is not None:
            raise NotThere("this key was revoked")
        return key

    async def _shape(self, key: KeyRecord) -> Json:
        return key_shape(key, (await self._accounts([key])).get(key.service_account_id or ""))

    async def _accounts(self, keys: Sequence[KeyRecord]) -> dict[str, ServiceAccountRecord]:
        """The service accounts of `keys` by id, without deleted ones."""
        ids = {(key.project_id, key.service_account_id) for key in keys if key.service_account_id is not None}
        found: dict[str, ServiceAccountRecord] = {}
        for project_id, account_id in ids:
            try:
                found[account_id] = await self._store.service_account(project_id, account_id)
            except NotThere:
                continue
        return found


def expiry(now: int, lifetime: int | None) -> int | None:
    return None if lifetime is None else now + lifetime
