"""OpenAI's own SDK, its calls of administration."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from tests.admin.conftest import Office
from tests.admin.test_usage import DAY, call


@pytest.fixture
def sdk(office: Office) -> Iterator[OpenAI]:
    with office.sdk() as client:
        yield client


def test_projects(sdk: OpenAI) -> None:
    projects = sdk.admin.organization.projects
    made = [projects.create(name=f"sdk {number}") for number in range(3)]
    assert [one.id for one in projects.list(limit=2)][:3] == [one.id for one in made[::-1]], "over several pages"
    assert projects.update(made[0].id, name="renamed").name == "renamed"
    assert projects.retrieve(made[0].id).name == "renamed"
    assert projects.archive(made[0].id).status == "archived"
    assert made[0].id not in {one.id for one in projects.list()}
    assert made[0].id in {one.id for one in projects.list(include_archived=True)}
    with pytest.raises(openai.NotFoundError):
        projects.retrieve("proj_none")


def test_keys_and_service_accounts(sdk: OpenAI, office: Office) -> None:
    project = sdk.admin.organization.projects.create(name="sdk").id
    accounts = sdk.admin.organization.projects.service_accounts
    account = accounts.create(project, name="bot")
    assert account.api_key is not None and account.api_key.value.startswith("sk-portico-")
    further = accounts.api_keys.create(account.id, project_id=project, name="second", expires_in_seconds=60)
    assert [one.id for one in accounts.list(project)] == [account.id]
    assert accounts.retrieve(account.id, project_id=project).name == "bot"
    assert accounts.update(account.id, project_id=project, name="robot").name == "robot"
    keys = sdk.admin.organization.projects.api_keys
    assert [one.id for one in keys.list(project, limit=1)] == [further.id, account.api_key.id]
    shown = keys.retrieve(further.id, project_id=project)
    assert shown.owner.service_account is not None and shown.owner.service_account.id == account.id
    updated = keys.update(further.id, project_id=project, expires_in_seconds=3600)
    assert updated.expires_at is not None and updated.expires_at - updated.created_at > 3000
    assert keys.delete(further.id, project_id=project).deleted
    assert accounts.delete(account.id, project_id=project).deleted
    assert list(keys.list(project)) == []


def test_rate_limits(sdk: OpenAI) -> None:
    project = sdk.admin.organization.projects.create(name="sdk").id
    limits = sdk.admin.organization.projects.rate_limits
    assert len(list(limits.list_rate_limits(project))) == 2
    changed = limits.update_rate_limit("rl-openai/gpt-oss-120b", project_id=project, max_tokens_per_1_minute=9)
    assert changed.max_tokens_per_1_minute == 9
    by_model = {one.model: one for one in limits.list_rate_limits(project)}
    assert by_model["openai/gpt-oss-120b"] == changed


def test_admin_keys(sdk: OpenAI, office: Office) -> None:
    keys = sdk.admin.organization.admin_api_keys
    made = keys.create(name="sdk", expires_in_seconds=60)
    assert office.send("GET", "/projects", key=made.value).status == 200
    assert made.id in {one.id for one in keys.list(limit=1)}
    assert keys.retrieve(made.id).name == "sdk"
    assert keys.delete(made.id).deleted


def test_audit_logs(sdk: OpenAI) -> None:
    project = sdk.admin.organization.projects.create(name="sdk").id
    sdk.admin.organization.projects.update(project, name="new")
    logs = sdk.admin.organization.audit_logs
    found = list(logs.list(project_ids=[project], effective_at={"gte": 1}, limit=1))
    assert [one.type for one in found] == ["project.updated", "project.created"]
    assert found[0].project is not None and found[0].project.name == "new"
    assert [one.type for one in logs.list(project_ids=[project], event_types=["project.created"])] == [
        "project.created"
    ]


def test_usage_and_costs(sdk: OpenAI, office: Office) -> None:
    office.run(office.store.add_usage([call(DAY, project="sdk"), call(DAY + 86_400, project="sdk")]))
    usage = sdk.admin.organization.usage
    page = usage.completions(
        start_time=DAY, end_time=DAY + 2 * 86_400, project_ids=["sdk"], group_by=["project_id", "model"], limit=1
    )
    (result,) = page.data[0].results
    assert result.object == "organization.usage.completions.result"
    assert (result.input_tokens, result.project_id, result.model) == (10, "sdk", "m1")
    assert page.next_page is not None
    costs = usage.costs(start_time=DAY, end_time=DAY + 86_400, project_ids=["sdk"], bucket_width="1d")
    (cost,) = costs.data[0].results
    assert cost.object == "organization.costs.result" and cost.amount is not None and cost.amount.value == 1.5
