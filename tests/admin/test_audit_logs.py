from __future__ import annotations

import time

import pytest

from tests.admin.conftest import Office
from tests.contract.test_decisions import a_decision, decided
from tests.openai_schema import validator


def test_every_change_is_there(office: Office) -> None:
    project = office.project("audited")
    office.post(f"/projects/{project}", {"weight": 2})
    office.post(f"/projects/{project}/rate_limits/rl-gpt-oss-20b", {"max_requests_per_1_day": 3})
    key = office.new_key(project)["id"]
    office.post(f"/projects/{project}/api_keys/{key}", {"note": "n"})
    office.send("DELETE", f"/projects/{project}/api_keys/{key}")
    account = office.post(f"/projects/{project}/service_accounts", {"name": "s", "create_service_account_only": True})
    office.send("DELETE", f"/projects/{project}/service_accounts/{account['id']}")
    office.post(f"/projects/{project}/archive")
    page = office.get(f"/audit_logs?project_ids[]={project}")
    validator("ListAuditLogsResponse")(page)
    assert [one["type"] for one in page["data"]][::-1] == [
        "project.created",
        "project.updated",
        "rate_limit.updated",
        "api_key.created",
        "api_key.updated",
        "api_key.deleted",
        "service_account.created",
        "service_account.deleted",
        "project.archived",
    ]
    made, changed = page["data"][-1], page["data"][-2]
    assert made["actor"]["api_key"]["id"] == office.key_id and made["actor"]["name"] == "first"
    assert made["project"] == {"id": project, "name": "audited"}
    assert made["project.created"] == {"id": project, "data": {"name": "audited"}}
    assert changed["project.updated"] == {"id": project, "changes_requested": {"weight": 2.0}}
    assert changed["previous"] == made["hash"] and office.run(office.store.verify_audit()) is None


def test_who_has_no_key_is_a_session(office: Office) -> None:
    office.post("/admin_api_keys", {"name": "x"})
    entries = office.get("/audit_logs?event_types[]=tenant.admin_api_key.created&limit=100")["data"]
    for one in entries:
        validator("AuditLog")(one)
    assert entries[-1]["actor"] == {
        "type": "session",
        "session": {"user": {"id": "root"}},
        "kind": "command_line",
        "name": "",
    }


def test_decisions_of_moderation(office: Office) -> None:
    project = office.project("moderated")
    records = [decided(number, project_id=project) for number in range(100, 105)]
    office.run(office.store.add_usage(records))
    page = office.get(f"/moderation/decisions?project_ids={project}&limit=2")
    assert page["has_more"] and [one["id"] for one in page["data"]] == [a_decision(104).id, a_decision(103).id]
    one = page["data"][0]
    written = a_decision(104)
    assert one == {
        "id": written.id,
        "object": "organization.moderation_decision",
        "type": "moderation.block",
        "effective_at": written.at,
        "actor": {"type": "api_key", "api_key": {"id": "key_0", "type": "user"}, "kind": "key", "name": "app"},
        "moderation.block": {"id": written.subject_id, "data": written.details},
        "project": {"id": project, "name": "moderated"},
        "seq": one["seq"],
        "previous": page["data"][1]["hash"],
        "hash": one["hash"],
    }
    rest = office.get(f"/moderation/decisions?project_ids={project}&after={page['last_id']}")
    assert not rest["has_more"] and len(rest["data"]) == 3
    by_call = office.get(f"/moderation/decisions?resource_ids={written.subject_id}")
    assert [one["id"] for one in by_call["data"]] == [written.id]
    assert office.get("/moderation/decisions?event_types=moderation.flag")["data"] == []
    assert all("moderation" not in one["type"] for one in office.get("/audit_logs?limit=100")["data"])
    assert office.run(office.store.verify_audit("decisions")) is None


def test_filters(office: Office) -> None:
    project, other = office.project(), office.project()
    key = office.new_key(project)["id"]

    def found(query: str) -> list[tuple[str, str]]:
        page = office.get(f"/audit_logs?project_ids[]={project}&project_ids[]={other}&{query}")
        return [(one["type"], one[one["type"]]["id"]) for one in page["data"]]

    whole = [("api_key.created", key), ("project.created", other), ("project.created", project)]
    assert found("") == whole
    assert found("event_types[]=project.created") == whole[1:]
    assert found(f"resource_ids[]={key}&resource_ids[]={other}") == whole[:2]
    assert found(f"actor_ids[]={office.key_id}") == whole and found("actor_ids[]=nobody") == []
    now = int(time.time())
    assert found(f"effective_at[gt]={now - 60}&effective_at[lte]={now + 60}") == whole
    assert found(f"effective_at[gte]={now + 60}") == [] == found(f"effective_at[lt]={now - 60}")


def test_bounds_are_exact(office: Office) -> None:
    project = office.project()
    at = office.get(f"/audit_logs?project_ids={project}")["data"][0]["effective_at"]

    def count(bound: str, value: int) -> int:
        return len(office.get(f"/audit_logs?project_ids={project}&effective_at[{bound}]={value}")["data"])

    assert [count("gt", at - 1), count("gt", at), count("gte", at), count("gte", at + 1)] == [1, 0, 1, 0]
    assert [count("lt", at + 1), count("lt", at), count("lte", at), count("lte", at - 1)] == [1, 0, 1, 0]


def test_pages_there_and_back(office: Office) -> None:
    project = office.project()
    for number in range(4):
        office.post(f"/projects/{project}", {"name": f"n{number}"})
    base = f"/audit_logs?project_ids={project}&limit=2"
    first = office.get(base)
    second = office.get(f"{base}&after={first['last_id']}")
    third = office.get(f"{base}&after={second['last_id']}")
    assert [len(one["data"]) for one in (first, second, third)] == [2, 2, 1]
    assert [one["has_more"] for one in (first, second, third)] == [True, True, False]
    assert office.get(f"{base}&before={third['first_id']}") == second
    assert office.get(f"{base}&before={second['first_id']}") == first | {"has_more": False}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("actor_emails[]=a", "actor_emails"),
        ("effective_at[eq]=1", "effective_at[eq]"),
        ("effective_at[gt]=x", "effective_at[gt]"),
        ("effective_at=1", "effective_at"),
    ],
)
def test_what_is_refused(office: Office, query: str, param: str) -> None:
    answer = office.send("GET", f"/audit_logs?{query}")
    assert (answer.status, answer.error["param"]) == (400, param)
