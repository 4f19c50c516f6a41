from __future__ import annotations

from typing import Any, get_args

import pytest

from server.api.admin.bodies import Endpoint
from server.api.describe import ENDPOINTS
from server.auth.secrets import digest_of, parse_secret
from tests.admin.conftest import Office
from tests.openai_schema import validator

key_schema = validator("ProjectApiKey")
GRANTS = {
    "models": ["gpt-oss-20b"],
    "endpoints": ["chat.completions"],
    "limits": {"tokens_per_minute": 1000},
    "priority": "batch",
    "reasoning": "hidden",
    "policy": "strict",
    "note": "for 团队\nnightly",
}


def test_the_value_is_shown_once_and_works(office: Office) -> None:
    project = office.project()
    made = office.new_key(project, **GRANTS)
    key_schema(made)
    secret = made.pop("value")
    kind, lookup = parse_secret(secret, office.tag_key) or ("", "")
    found = office.run(office.store.find_key(lookup))
    assert kind == "key" and found is not None and found[0].digest == digest_of(secret)
    path = f"/projects/{project}/api_keys"
    assert office.get(f"{path}/{made['id']}") == made
    assert {name: made[name] for name in GRANTS} == GRANTS
    assert made["redacted_value"] != secret and made["owner_project_access"] == "active"
    everything = repr([office.get(path), office.get("/audit_logs?limit=100"), office.get(f"{path}/{made['id']}")])
    assert secret not in everything and digest_of(secret) not in everything and secret[20:40] not in everything


def test_what_is_not_given_is_not_restricted(office: Office) -> None:
    made = office.new_key(office.project())
    expected = dict.fromkeys(("models", "endpoints", "limits", "reasoning", "policy", "expires_at", "last_used_at"))
    assert {name: made[name] for name in expected} == expected
    assert (made["priority"], made["note"]) == ("standard", "")


def test_aliases_of_models_are_resolved(office: Office) -> None:
    made = office.new_key(office.project(), models=["gpt-4o-mini", "openai/gpt-oss-120b", "gpt-oss-20b"])
    assert made["models"] == ["gpt-oss-20b", "openai/gpt-oss-120b"]
    assert office.new_key(office.project(), models=[])["models"] == []


def test_changed_field_by_field(office: Office) -> None:
    project = office.project()
    made = office.new_key(project, **GRANTS, expires_in_seconds=100)
    path = f"/projects/{project}/api_keys/{made['id']}"
    del made["value"]
    assert office.post(path, {}) == made
    assert office.post(path, {"name": "new", "note": ""}) == made | {"name": "new", "note": ""}
    changed = office.post(path, {"models": None, "limits": None, "expires_in_seconds": None, "priority": "interactive"})
    key_schema(changed)
    expected = {"models": None, "limits": None, "expires_at": None, "priority": "interactive"}
    assert changed == made | {"name": "new", "note": ""} | expected
    assert office.get(path) == changed


def test_deleted_as_openai_deletes(office: Office) -> None:
    project = office.project()
    made, other = office.new_key(project), office.new_key(project)
    path = f"/projects/{project}/api_keys"
    gone = office.send("DELETE", f"{path}/{made['id']}").json
    validator("ProjectApiKeyDeleteResponse")(gone)
    assert gone == {"object": "organization.project.api_key.deleted", "id": made["id"], "deleted": True}
    assert [one["id"] for one in office.get(path)["data"]] == [other["id"]]
    kept = office.get(f"{path}?include_revoked=true")["data"]
    assert [(one["id"], one["owner_project_access"]) for one in kept] == [
        (other["id"], "active"),
        (made["id"], "inactive"),
    ]
    for method, below, body in (("GET", "", None), ("DELETE", "", None), ("POST", "", {}), ("POST", "/rotate", {})):
        answer = office.send(method, f"{path}/{made['id']}{below}", body)
        assert (answer.status, answer.error["code"]) == (404, "not_found"), (method, below)


def test_rotated_with_an_overlap(office: Office) -> None:
    project = office.project()
    made = office.new_key(project, **GRANTS, expires_in_seconds=1_000_000)
    path = f"/projects/{project}/api_keys/{made['id']}"
    new = office.post(f"{path}/rotate", {"overlap_seconds": 3600})
    key_schema(new)
    assert new["id"] != made["id"] and new["value"] != made["value"] and new["rotated_from"] == made["id"]
    assert {name: new[name] for name in GRANTS} == GRANTS
    assert new["expires_at"] - new["created_at"] == 1_000_000
    end = office.get(path)["expires_at"]
    assert 3600 <= end - new["created_at"] <= 3610
    again = office.send("POST", f"{path}/rotate", b"")
    assert again.status == 200 and office.get(path)["expires_at"] == end, "no later than it would have ended"


def test_rotated_without_one(office: Office) -> None:
    project = office.project()
    path = f"/projects/{project}/api_keys/{office.new_key(project)['id']}"
    assert office.post(f"{path}/rotate", {"overlap_seconds": 0})["expires_at"] is None
    answer = office.send("POST", f"{path}/rotate", {})
    assert (answer.status, answer.error["code"]) == (400, "invalid_state"), "expired"


def test_pages(office: Office) -> None:
    project = office.project()
    made = [office.new_key(project, f"k{number}")["id"] for number in range(3)]
    path = f"/projects/{project}/api_keys"
    first = office.get(f"{path}?limit=2")
    validator("ProjectApiKeyListResponse")(first)
    second = office.get(f"{path}?limit=2&after={first['last_id']}")
    assert [one["id"] for one in first["data"] + second["data"]] == made[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert office.get(f"{path}?owner_project_access=inactive")["data"] == []
    empty = office.get(f"/projects/{office.project()}/api_keys")
    assert empty == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_key_of_another_project_is_not_there(office: Office) -> None:
    made = office.new_key(office.project())
    other = office.project()
    for method, below in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = office.send(
            method, f"/projects/{other}/api_keys/{made['id']}{below}", {} if method == "POST" else None
        )
        assert (answer.status, answer.error["code"]) == (404, "not_found"), (method, below)
    for path in ("/projects/proj_none/api_keys", "/projects/proj_none/service_accounts", "/projects/x/rate_limits"):
        assert office.send("GET", path).status == 404
    assert office.send("POST", "/projects/proj_none/api_keys", {"name": "a"}).status == 404


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"models": ["gpt-9"]}, "invalid_value", "models[0]"),
        ({"models": "gpt-oss-20b"}, "invalid_type", "models"),
        ({"endpoints": ["chat"]}, "invalid_value", "endpoints[0]"),
        ({"priority": "first"}, "invalid_value", "priority"),
        ({"reasoning": "some"}, "invalid_value", "reasoning"),
        ({"expires_in_seconds": 0}, "invalid_value", "expires_in_seconds"),
        ({"expires_in_seconds": 10**12}, "invalid_value", "expires_in_seconds"),
        ({"note": "\x1b[2J"}, "invalid_value", "note"),
        ({"scopes": []}, "unknown_parameter", "scopes"),
        ({"limits": {"a": 1}}, "unknown_parameter", "limits.a"),
    ],
)
def test_what_is_refused(office: Office, body: dict[str, Any], code: str, param: str) -> None:
    answer = office.send("POST", f"/projects/{office.project()}/api_keys", {"name": "a"} | body)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param), answer.json


def test_endpoints_are_those_that_are_served() -> None:
    beside = {"/v1/messages/count_tokens", "/v1/responses/input_tokens", "/v1/responses/compact"}
    """For those who may use what they belong to."""
    described = {path.removeprefix("/v1/").replace("/", ".") for path in ENDPOINTS.keys() - beside}
    assert described | {"conversations", "files"} == set(get_args(Endpoint)), "FastAPI describes these two itself"


def test_service_accounts(office: Office) -> None:
    project = office.project()
    path = f"/projects/{project}/service_accounts"
    made = office.post(path, {"name": "bot"})
    validator("ProjectServiceAccountCreateResponse")(made)
    key = made.pop("api_key")
    assert parse_secret(key["value"], office.tag_key)
    validator("ProjectServiceAccount")(office.get(f"{path}/{made['id']}"))
    assert office.get(f"{path}/{made['id']}") == made
    shown = office.get(f"/projects/{project}/api_keys/{key['id']}")
    key_schema(shown)
    facts = {"id": made["id"], "name": "bot", "created_at": made["created_at"], "role": "member"}
    assert shown["owner"] == {"type": "service_account", "service_account": facts}

    renamed = office.post(f"{path}/{made['id']}", {"name": "robot", "role": "owner"})
    validator("ProjectServiceAccount")(renamed)
    assert renamed == made | {"name": "robot", "role": "owner"} == office.get(f"{path}/{made['id']}")
    assert office.post(f"{path}/{made['id']}", {"name": "bot"}) == made | {"role": "owner"}, "the rest stays"
    assert office.send("POST", f"{path}/{made['id']}", {"role": "king"}).error["param"] == "role"
    assert office.send("POST", f"{path}/svc_acct_0", {"name": "x"}).status == 404
    second = office.post(f"{path}/{made['id']}/api_keys", {"name": "b", "models": ["gpt-oss-20b"]})
    validator("ServiceAccountApiKeyBody")(second)
    assert office.get(f"/projects/{project}/api_keys/{second['id']}")["models"] == ["gpt-oss-20b"]
    third = office.send("POST", f"{path}/{made['id']}/api_keys").json
    assert third["name"] == "bot"

    bare = office.post(path, {"name": "bare", "create_service_account_only": True})
    validator("ProjectServiceAccountCreateResponse")(bare)
    assert bare["api_key"] is None
    page = office.get(f"{path}?limit=1")
    validator("ProjectServiceAccountListResponse")(page)
    assert (page["data"][0]["id"], page["has_more"]) == (bare["id"], True)

    gone = office.send("DELETE", f"{path}/{made['id']}").json
    validator("ProjectServiceAccountDeleteResponse")(gone)
    assert office.get(f"/projects/{project}/api_keys")["data"] == []
    revoked = office.get(f"/projects/{project}/api_keys?include_revoked=true")["data"]
    assert {one["id"] for one in revoked} == {key["id"], second["id"], third["id"]}
    for one in revoked:
        key_schema(one)
    assert office.send("GET", f"{path}/{made['id']}").status == 404
    assert office.send("POST", f"{path}/{made['id']}/api_keys", {}).status == 404
