"""Who gets in, and what happens when the database is away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.api.admin.guard import AdminGuard
from server.auth.secrets import new_secret
from server.errors import InvalidApiKey
from server.stores.base import StoreDown
from tests.admin.conftest import Office
from tests.openai_schema import validator


@pytest.mark.parametrize("path", ["/projects", "/admin_api_keys", "/audit_logs", "/costs?start_time=0"])
@pytest.mark.parametrize("key", [None, "sk-portico-admin-guess", "sk-test-0123456789abcdef", "sk-portico-admin-ä"])
def test_not_without_an_admin_key(office: Office, path: str, key: str | None) -> None:
    answer = office.send("GET", path, key=key)
    validator("ErrorResponse")(answer.json)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer" and "portico admin-keys create" in answer.error["message"]


def test_refused_before_anything_is_read(office: Office) -> None:
    assert office.send("POST", "/projects", b"{", key=None).status == 401
    assert office.send("POST", "/projects", {"name": "a" * 100_000}, key="x").status == 401


def test_the_key_of_a_project_is_told_what_it_is(office: Office) -> None:
    secret = office.new_key(office.project())["value"]
    answer = office.send("GET", "/projects", key=secret)
    assert (answer.status, answer.error["code"], answer.error["type"]) == (403, "permission_denied", "permission_error")
    assert "admin key" in answer.error["message"] and secret not in str(answer.json)


def test_a_well_made_key_that_is_not_kept(office: Office) -> None:
    stranger = new_secret("admin", office.tag_key).secret
    assert office.send("GET", "/projects", key=stranger).status == 401
    assert office.send("GET", "/projects", key=office.key[:-1]).status == 401


def test_admin_keys(office: Office) -> None:
    made = office.post("/admin_api_keys", {"name": "ops", "expires_in_seconds": 500})
    validator("AdminApiKeyCreateResponse")(made)
    secret = made.pop("value")
    assert office.send("GET", "/projects", key=secret).status == 200
    shown = office.get(f"/admin_api_keys/{made['id']}")
    validator("AdminApiKey")(shown)
    assert shown.pop("last_used_at") >= made["created_at"] and made.pop("last_used_at") is None
    assert shown == made and made["expires_at"] == made["created_at"] + 500
    office.clock.turned_s = 501
    answer = office.send("GET", "/projects", key=secret)
    office.clock.turned_s = 0
    assert answer.status == 401 and "expired" in answer.error["message"]
    gone = office.send("DELETE", f"/admin_api_keys/{made['id']}").json
    assert gone == {"object": "organization.admin_api_key.deleted", "id": made["id"], "deleted": True}
    assert office.send("GET", "/projects", key=secret).status == 401
    assert office.send("GET", f"/admin_api_keys/{made['id']}").status == 404
    assert secret not in repr(office.get("/audit_logs?limit=100"))


def test_admin_keys_in_pages(office: Office) -> None:
    made = [office.post("/admin_api_keys", {"name": f"k{number}"})["id"] for number in range(3)]
    first = office.get("/admin_api_keys?limit=2")
    validator("ApiKeyList")(first)
    second = office.get(f"/admin_api_keys?limit=2&after={first['last_id']}")
    assert [one["id"] for one in first["data"] + second["data"]] == [office.key_id, *made], "oldest first"
    newest = office.get("/admin_api_keys?limit=2&order=desc")
    assert [one["id"] for one in newest["data"]] == [made[2], made[1]] and newest["has_more"]
    for one in made:
        office.send("DELETE", f"/admin_api_keys/{one}")


class Away:
    """A directory that cannot be reached, and counts who tries."""

    asked = 0

    async def find_admin_key(self, lookup: str) -> None:
        self.asked += 1
        raise StoreDown("the database /secret/place is not available")


def test_forged_keys_do_not_reach_the_database() -> None:
    directory: Any = Away()
    guard = AdminGuard(directory, b"k" * 32, lambda: 0.0)
    forged = new_secret("admin", b"x" * 32).secret.encode()

    async def knock() -> None:
        for secret in (forged, b"sk-portico-admin-", b"\xff" * 80, b""):
            with pytest.raises(InvalidApiKey):
                await guard.admit({b"authorization": b"Bearer " + secret})
        assert directory.asked == 0
        with pytest.raises(StoreDown):
            await guard.admit({b"authorization": b"bearer " + new_secret("admin", b"k" * 32).secret.encode()})
        assert directory.asked == 1

    asyncio.run(knock())


def test_the_database_is_away(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office.store, "find_admin_key", Away().find_admin_key)
    answer = office.send("GET", "/projects")
    validator("ErrorResponse")(answer.json)
    assert (answer.status, answer.error["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) >= 1 and "secret" not in answer.error["message"]
