from __future__ import annotations

from typing import Any

import pytest

from server.api.admin.bodies import UNLIMITED
from server.config import Limit
from tests.admin.conftest import Office
from tests.openai_schema import validator

FREE = {
    "max_requests_per_1_minute": UNLIMITED,
    "max_tokens_per_1_minute": UNLIMITED,
    "max_requests_per_1_day": UNLIMITED,
    "max_tokens_per_1_day": UNLIMITED,
    "max_concurrent_requests": UNLIMITED,
    "max_spend_per_1_month": UNLIMITED,
}
SMALL = {"object": "project.rate_limit", "id": "rl-gpt-oss-20b", "model": "gpt-oss-20b"}


def test_one_for_each_model(office: Office) -> None:
    path = f"/projects/{office.project()}/rate_limits"
    page = office.get(path)
    validator("ProjectRateLimitListResponse")(page)
    assert [one["id"] for one in page["data"]] == ["rl-gpt-oss-20b", "rl-openai/gpt-oss-120b"]
    assert page["data"][0] == SMALL | FREE


def test_set_and_lifted(office: Office) -> None:
    project = office.project()
    path = f"/projects/{project}/rate_limits"
    changed = office.post(f"{path}/rl-gpt-oss-20b", {"max_tokens_per_1_minute": 500, "max_spend_per_1_month": 1.5})
    validator("ProjectRateLimit")(changed)
    assert changed == SMALL | FREE | {"max_tokens_per_1_minute": 500, "max_spend_per_1_month": 1.5}
    office.post(f"{path}/rl-openai/gpt-oss-120b", {"max_requests_per_1_day": 3})
    limits = office.run(office.store.project(project)).model_limits
    assert limits["gpt-oss-20b"] == Limit(tokens_per_minute=500, spend_per_month=1.5)
    assert limits["openai/gpt-oss-120b"] == Limit(requests_per_day=3)
    lifted = office.post(
        f"{path}/rl-gpt-oss-20b", {"max_tokens_per_1_minute": UNLIMITED, "max_spend_per_1_month": None}
    )
    assert lifted == SMALL | FREE
    assert set(office.run(office.store.project(project)).model_limits) == {"openai/gpt-oss-120b"}


def test_pages(office: Office) -> None:
    path = f"/projects/{office.project()}/rate_limits"
    first = office.get(f"{path}?limit=1")
    second = office.get(f"{path}?limit=1&after={first['last_id']}")
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert office.get(f"{path}?limit=1&before={second['first_id']}") == first | {"has_more": False}
    assert office.get(f"{path}?after=rl-none")["data"] == []


@pytest.mark.parametrize(
    ("limit", "body", "status", "param"),
    [
        ("rl-gpt-9", {}, 404, None),
        ("gpt-oss-20b", {}, 404, None),
        ("rl-gpt-oss-20b", {"max_images_per_1_minute": 1}, 400, "max_images_per_1_minute"),
        ("rl-gpt-oss-20b", {"max_tokens_per_1_minute": 0}, 400, "max_tokens_per_1_minute"),
        ("rl-gpt-oss-20b", {"max_tokens_per_1_minute": 1.5}, 400, "max_tokens_per_1_minute"),
    ],
)
def test_what_is_refused(office: Office, limit: str, body: dict[str, Any], status: int, param: str | None) -> None:
    answer = office.send("POST", f"/projects/{office.project()}/rate_limits/{limit}", body)
    assert (answer.status, answer.error["param"]) == (status, param)
