"""/v1/organization/projects/{project_id}/rate_limits: what a project may use of each model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Query
from msgspec.structs import replace
from pydantic import Field

from server.api.admin.administration import Administration
from server.api.admin.bodies import UNLIMITED, RateLimitChange
from server.api.admin.route import By, Endpoint
from server.api.listing import Json, PageAsked, part_of
from server.call import NO_LIMITS
from server.config import Limit
from server.stores.base import NotThere
from server.stores.records import ProjectRecord

LIMITS = "/projects/{project_id}/rate_limits"
PREFIX = "rl-"
FIELDS = {  # OpenAI's names, and in their manner ours
    "max_requests_per_1_minute": "requests_per_minute",
    "max_tokens_per_1_minute": "tokens_per_minute",
    "max_requests_per_1_day": "requests_per_day",
    "max_tokens_per_1_day": "tokens_per_day",
    "max_concurrent_requests": "concurrent_requests",
    "max_spend_per_1_month": "spend_per_month",
}


class LimitsAsked(PageAsked):
    limit: int = Field(default=100, ge=1, le=1000, description="How many at most.")
    before: str | None = Field(default=None, max_length=256, description="Those before the one with this id.")


class RateLimits:
    def __init__(self, administration: Administration) -> None:
        self._store = administration.store
        self._models = sorted(administration.models)

    def endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("GET", LIMITS, self.list, "List the limits of a project, one for each model")
        yield Endpoint("POST", LIMITS + "/{rate_limit_id:path}", self.change, "Change the limits of a model")

    async def list(self, project_id: str, asked: Annotated[LimitsAsked, Query()]) -> Json:
        project = await self._store.project(project_id)
        rows = [shape(model, project.model_limits.get(model, NO_LIMITS)) for model in self._models]
        return part_of(rows, asked.limit, asked.after, asked.before)

    async def change(self, project_id: str, rate_limit_id: str, body: RateLimitChange, by: By) -> Json:
        model = rate_limit_id.removeprefix(PREFIX)
        if model not in self._models or not rate_limit_id.startswith(PREFIX):
            raise NotThere(f"there is no rate limit with this id; it is {PREFIX} and the name of a model")

        def change(before: ProjectRecord) -> ProjectRecord:
            limit = changed(before.model_limits.get(model, NO_LIMITS), body)
            others = {name: one for name, one in before.model_limits.items() if name != model}
            return replace(before, model_limits=others if limit == NO_LIMITS else others | {model: limit})

        project = await self._store.change_project(project_id, change, by)
        return shape(model, project.model_limits.get(model, NO_LIMITS))


def shape(model: str, limit: Limit) -> Json:
    values = {name: getattr(limit, field) or UNLIMITED for name, field in FIELDS.items()}
    return {"object": "project.rate_limit", "id": PREFIX + model, "model": model} | values


def changed(limit: Limit, body: RateLimitChange) -> Limit:
    """Null is as good as `UNLIMITED`."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    values = {FIELDS[name]: None if value is None or value >= UNLIMITED else value for name, value in given.items()}
    return limit.model_copy(update=values)
