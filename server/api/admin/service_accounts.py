"""/v1/organization/projects/{project_id}/service_accounts"""

from __future__ import annotations

from collections.abc import Iterator

from server.api.admin.administration import Administration
from server.api.admin.bodies import NewAccountKey, NewServiceAccount, ServiceAccountChange
from server.api.admin.keys import expiry
from server.api.admin.route import By, Endpoint
from server.api.admin.shapes import account_key_shape, account_shape
from server.api.listing import Json, Page, listing
from server.auth.issue import issue_key, new_service_account

ACCOUNTS = "/projects/{project_id}/service_accounts"


class ServiceAccounts:
    def __init__(self, administration: Administration) -> None:
        self._store = administration.store
        self._admin = administration

    def endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("GET", ACCOUNTS, self.list, "List the service accounts of a project")
        yield Endpoint("POST", ACCOUNTS, self.create, "Create a service account with a key, which is shown once")
        yield Endpoint("GET", ACCOUNTS + "/{account_id}", self.retrieve, "Retrieve a service account")
        yield Endpoint("POST", ACCOUNTS + "/{account_id}", self.change, "Change a service account")
        yield Endpoint("DELETE", ACCOUNTS + "/{account_id}", self.delete, "Delete a service account and its keys")
        yield Endpoint("POST", ACCOUNTS + "/{account_id}/api_keys", self.create_key, "A further key, shown once")

    async def list(self, project_id: str, asked: Page) -> Json:
        await self._store.project(project_id)
        found = await self._store.service_accounts(project_id, after=asked.after, limit=asked.limit + 1)
        return listing([account_shape(account) for account in found], asked.limit)

    async def create(self, project_id: str, body: NewServiceAccount, by: By) -> Json:
        now = self._admin.now()
        account = new_service_account(now, project_id, body.name)
        if body.create_service_account_only:
            await self._store.create_service_account(account, None, by)
            return account_shape(account) | {"api_key": None}
        key, secret = issue_key(self._admin.tag_key, now, project_id, body.name, service_account_id=account.id)
        await self._store.create_service_account(account, key, by)
        return account_shape(account) | {"api_key": account_key_shape(key, secret)}

    async def retrieve(self, project_id: str, account_id: str) -> Json:
        return account_shape(await self._store.service_account(project_id, account_id))

    async def change(self, project_id: str, account_id: str, body: ServiceAccountChange, by: By) -> Json:
        return account_shape(await self._store.change_service_account(project_id, account_id, body.changed, by))

    async def delete(self, project_id: str, account_id: str, by: By) -> Json:
        await self._store.delete_service_account(project_id, account_id, by)
        return {"object": "organization.project.service_account.deleted", "id": account_id, "deleted": True}

    async def create_key(self, project_id: str, account_id: str, by: By, body: NewAccountKey | None = None) -> Json:
        asked, now = body or NewAccountKey(), self._admin.now()
        account = await self._store.service_account(project_id, account_id)
        key, secret = issue_key(
            self._admin.tag_key,
            now,
            project_id,
            asked.name or account.name,
            self._admin.grants(asked),
            expires_at=expiry(now, asked.expires_in_seconds),
            service_account_id=account_id,
        )
        await self._store.create_key(key, by)
        return account_key_shape(key, secret)
