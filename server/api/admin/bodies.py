"""What bodies of requests may hold, and the command line's options too. Further fields are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from server.call import NO_LIMITS
from server.config import Limit, Name, PriorityClass
from server.stores.records import NO_GRANTS, KeyGrants, ProjectRecord, ServiceAccountRecord

UNLIMITED = 2_147_483_647
"""How OpenAI's shape, which has no null there, shows that there is no limit. So much and more sets none."""
YEAR_S = 366 * 86_400
LATEST = 253_402_300_799  # the last second of the year 9999


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _bounded(limit: Limit) -> Limit:
    for field, value in limit:
        if value is not None and value > 2**53:
            raise ValueError(f"{field} is too large")
    return limit


Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"),
]
Note = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
Limits = Annotated[Limit, AfterValidator(_bounded)]
Weight = Annotated[float, Field(gt=0, le=1000)]
Lifetime = Annotated[int, Field(ge=1, le=10 * YEAR_S)]
Endpoint = Literal[
    "chat.completions", "completions", "messages", "responses", "conversations", "embeddings", "rerank", "moderations",
    "files", "batches",
]  # fmt: skip


class NewProject(Body):
    name: Title
    weight: Weight = Field(default=1.0, description="Share of busy engines beside those of other projects.")
    limits: Limits | None = Field(default=None, description="Limits of all its keys together.")
    policy: Name | None = Field(default=None, description="Name of a moderation policy for all its calls.")

    def changed(self, before: ProjectRecord) -> ProjectRecord:
        """`before`, just made, with all that was asked for."""
        return replace(before, weight=self.weight, limits=self.limits or NO_LIMITS, policy=self.policy)


class ProjectChange(Body):
    name: Title | None = None
    weight: Weight | None = None
    limits: Limits | None = Field(default=None, description="In place of those there were; null: none.")
    policy: Name | None = Field(default=None, description="Name of a moderation policy; null: none.")

    def changed(self, before: ProjectRecord) -> ProjectRecord:
        """`before` with what was given in its place."""
        return replace(
            before,
            name=self.name or before.name,
            weight=self.weight or before.weight,
            limits=self.limits or NO_LIMITS if "limits" in self.model_fields_set else before.limits,
            policy=self.policy if "policy" in self.model_fields_set else before.policy,
        )


class Grants(Body):
    """What a key may do; null: no restriction, or what the server says."""

    models: list[Name] | None = Field(default=None, max_length=1000, description="Models that it may use.")
    endpoints: list[Endpoint] | None = Field(default=None, description="Endpoints that it may use.")
    limits: Limits | None = Field(default=None, description="In place of `limits.default` of the configuration.")
    priority: PriorityClass = Field(default="standard", description="Class of its calls in the queue.")
    reasoning: Literal["shown", "hidden"] | None = Field(
        default=None, description="Whether it gets the chain of thought."
    )
    policy: Name | None = Field(default=None, description="Name of its moderation policy.")
    note: Note = Field(default="", description="For administrators.")

    def changed(self, before: KeyGrants = NO_GRANTS) -> KeyGrants:
        """`before` with what was given in its place."""
        given: dict[str, Any] = {
            name: getattr(self, name) for name in KeyGrants.__struct_fields__ if name in self.model_fields_set
        }
        for name in {"models", "endpoints"} & {name for name, value in given.items() if value is not None}:
            given[name] = tuple(given[name])
        return replace(before, **given)


class NewKey(Grants):
    name: Title
    expires_in_seconds: Lifetime | None = Field(default=None, description="Null: it does not expire.")


class NewAccountKey(Grants):
    name: Title | None = Field(default=None, description="Default: the name of the service account.")
    expires_in_seconds: Lifetime | None = Field(default=None, description="Null: it does not expire.")


class KeyChange(Grants):
    """What is not named stays."""

    name: Title | None = None
    expires_in_seconds: Lifetime | None = Field(default=None, description="From now; null: it does not expire.")


class Rotation(Body):
    overlap_seconds: int = Field(
        default=86_400, ge=0, le=YEAR_S, description="For how long the old key goes on working."
    )


class NewServiceAccount(Body):
    name: Title
    create_service_account_only: bool | None = Field(default=None, description="Without a key.")


class ServiceAccountChange(Body):
    """What is not named stays."""

    name: Title | None = None
    role: Literal["member", "owner"] | None = None

    def changed(self, before: ServiceAccountRecord) -> ServiceAccountRecord:
        return replace(before, name=self.name or before.name, role=self.role or before.role)


class NewAdminKey(Body):
    name: Title
    expires_in_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None


class RateLimitChange(Body):
    """What is not named stays."""

    max_requests_per_1_minute: int | None = Field(default=None, ge=1)
    max_tokens_per_1_minute: int | None = Field(default=None, ge=1)
    max_requests_per_1_day: int | None = Field(default=None, ge=1)
    max_tokens_per_1_day: int | None = Field(default=None, ge=1)
    max_concurrent_requests: int | None = Field(default=None, ge=1)
    max_spend_per_1_month: float | None = Field(default=None, gt=0)
