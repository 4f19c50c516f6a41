from __future__ import annotations

from typing import Any

import pytest

from tests.admin.conftest import Office
from tests.openai_schema import validator

project = validator("Project")


def test_made_shown_changed_archived(office: Office) -> None:
    made = office.post("/projects", {"name": " Team Ä "})
    project(made)
    assert (made["name"], made["status"], made["weight"], made["limits"]) == ("Team Ä", "active", 1.0, None)
    assert office.get(f"/projects/{made['id']}") == made
    limits = {"tokens_per_minute": 1000, "spend_per_month": 2.5}
    changed = office.post(f"/projects/{made['id']}", {"name": "Team B", "weight": 3, "limits": limits})
    project(changed)
    assert changed == {**made, "name": "Team B", "weight": 3.0, "limits": limits}
    assert office.post(f"/projects/{made['id']}", {"weight": 2})["limits"] == limits
    assert office.post(f"/projects/{made['id']}", {"limits": None}) == {**changed, "weight": 2.0, "limits": None}
    archived = office.post(f"/projects/{made['id']}/archive")
    project(archived)
    assert archived["status"] == "archived" and archived["archived_at"] >= made["created_at"]
    assert office.get(f"/projects/{made['id']}") == archived


def test_limits_from_the_start(office: Office) -> None:
    made = office.post("/projects", {"name": "a", "weight": 0.5, "limits": {"requests_per_day": 7}})
    assert office.get(f"/projects/{made['id']}") == made
    assert (made["weight"], made["limits"]) == (0.5, {"requests_per_day": 7})


def test_policy(office: Office) -> None:
    made = office.post("/projects", {"name": "a", "policy": "strict"})
    assert made["policy"] == "strict" and office.get(f"/projects/{made['id']}") == made
    assert office.post(f"/projects/{made['id']}", {"weight": 2})["policy"] == "strict", "what is not named stays"
    assert office.post(f"/projects/{made['id']}", {"policy": "house"})["policy"] == "house"
    assert office.post(f"/projects/{made['id']}", {"policy": None})["policy"] is None
    answer = office.send("POST", f"/projects/{made['id']}", {"policy": ""})
    assert (answer.status, answer.error["param"]) == (400, "policy")
    events = office.get(f"/audit_logs?project_ids={made['id']}")["data"]
    asked = [one["project.updated"]["changes_requested"] for one in events if one["type"] == "project.updated"]
    assert asked == [{"policy": None}, {"policy": "house"}, {"weight": 2.0}, {"policy": "strict"}]


def test_an_archived_project_is_left_alone(office: Office) -> None:
    made = office.project()
    office.post(f"/projects/{made}/archive")
    for path, body in (("", {"name": "b"}), ("/api_keys", {"name": "k"}), ("/service_accounts", {"name": "s"})):
        answer = office.send("POST", f"/projects/{made}{path}", body)
        assert (answer.status, answer.error["code"]) == (400, "invalid_state"), path


def test_pages(office: Office) -> None:
    made = [office.project(f"page {number}") for number in range(5)]
    seen: list[str] = []
    after = ""
    for _ in range(20):
        page = office.get(f"/projects?limit=2{after}")
        validator("ProjectListResponse")(page)
        ids = [one["id"] for one in page["data"]]
        assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1]) and 1 <= len(ids) <= 2
        seen += ids
        after = f"&after={page['last_id']}"
        if not page["has_more"]:
            break
    assert seen[:5] == made[::-1] and len(seen) == len(set(seen))
    assert set(seen) == {one["id"] for one in office.get("/projects?limit=100")["data"]}


def test_archived_ones_on_request(office: Office) -> None:
    made = office.project("gone")
    office.post(f"/projects/{made}/archive")
    assert made not in {one["id"] for one in office.get("/projects?limit=100")["data"]}
    assert made in {one["id"] for one in office.get("/projects?limit=100&include_archived=true")["data"]}


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "missing_required_parameter", "name"),
        ({"name": "a", "colour": 1}, 400, "unknown_parameter", "colour"),
        ({"name": "a", "limits": {"per_week": 1}}, 400, "unknown_parameter", "limits.per_week"),
        ({"name": 5}, 400, "invalid_type", "name"),
        ({"name": ""}, 400, "invalid_value", "name"),
        ({"name": "   "}, 400, "invalid_value", "name"),
        ({"name": "a\u0000b"}, 400, "invalid_value", "name"),
        ({"name": "a\nb"}, 400, "invalid_value", "name"),
        ({"name": "\ud800"}, 400, "invalid_value", "name"),
        ({"name": "a" * 129}, 400, "invalid_value", "name"),
        ({"name": "a", "weight": 0}, 400, "invalid_value", "weight"),
        ({"name": "a", "weight": "1"}, 400, "invalid_type", "weight"),
        ({"name": "a", "weight": float("nan")}, 400, "invalid_value", "weight"),
        ({"name": "a", "limits": {"requests_per_day": 0}}, 400, "invalid_value", "limits.requests_per_day"),
        ({"name": "a", "limits": {"requests_per_day": 10**30}}, 400, "invalid_value", "limits"),
        ({"name": "a", "limits": {"spend_per_month": float("inf")}}, 400, "invalid_value", "limits.spend_per_month"),
        (["a"], 400, "invalid_type", None),
        (b"{", 400, "invalid_json", None),
        (b"", 400, "missing_required_parameter", None),
        (b'{"name": ' + b"[" * 50_000, 400, None, None),
    ],
)
def test_what_is_refused(office: Office, body: Any, status: int, code: str | None, param: str | None) -> None:
    answer = office.send("POST", "/projects", body)
    validator("ErrorResponse")(answer.json)
    assert (answer.status, answer.error["param"]) == (status, param), answer.json
    assert code is None or answer.error["code"] == code
    assert answer.error["type"] == "invalid_request_error" and "aaaa" not in answer.error["message"]


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=0", "invalid_value", "limit"),
        ("limit=101", "invalid_value", "limit"),
        ("limit=x", "invalid_type", "limit"),
        ("colour=red", "unknown_parameter", "colour"),
        ("include_archived=perhaps", "invalid_type", "include_archived"),
        ("after=%00", "invalid_value", None),
    ],
)
def test_queries_that_are_refused(office: Office, query: str, code: str, param: str | None) -> None:
    answer = office.send("GET", f"/projects?{query}")
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_that_is_not_there(office: Office, method: str) -> None:
    answer = office.send(method, "/projects/proj_none", {} if method == "POST" else None)
    assert (answer.status, answer.error["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/projects"), ("PUT", "/projects/proj_1"), ("GET", "/projects/proj_1/archive"), ("POST", "/costs")],
)
def test_wrong_methods(office: Office, method: str, path: str) -> None:
    answer = office.send(method, path)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"]


def test_bodies_in_other_forms(office: Office) -> None:
    answer = office.send("POST", "/projects", b"name=a", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
    assert office.send("POST", "/projects", b'{"name": "a"}').status == 200
    answer = office.send("POST", "/projects", {"name": "a" * 70_000})
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
