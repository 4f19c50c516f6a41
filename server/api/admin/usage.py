"""/v1/organization/usage and /v1/organization/costs"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field

from server.api.admin.administration import Administration
from server.api.admin.buckets import BucketsAsked, Ids, Span, Width, page, span
from server.api.admin.route import Endpoint
from server.api.listing import Json
from server.stores.records import UsageTotal

MODERATIONS = "moderations"
"""What usage records of /v1/moderations have as their model."""
Group = Literal["project_id", "key_id", "model"]
GROUPS: Mapping[str, Group] = {
    "project_id": "project_id",
    "api_key_id": "key_id",
    "model": "model",
    "line_item": "model",
}
BUCKETS: Mapping[Width, tuple[int, int]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}  # default, most
COST_BUCKETS = (7, 180)


class UsageAsked(BucketsAsked):
    models: Ids = Field(default=[], description="Only these models.")
    group_by: list[Literal["project_id", "api_key_id", "model"]] = Field(default=[], description="A result for each.")


class CostsAsked(BucketsAsked):
    group_by: list[Literal["project_id", "api_key_id", "line_item"]] = Field(
        default=[], description="A result for each; line items are models."
    )


class Usage:
    def __init__(self, administration: Administration) -> None:
        self._store = administration.store
        self._admin = administration
        models = administration.models.values()
        self._pooling = [model.id for model in models if "chat" not in model.config.serves]
        """Models that write no text: for embeddings or rerank."""

    def endpoints(self) -> Iterator[Endpoint]:
        yield Endpoint("GET", "/usage/completions", self.completions, "Tokens and requests over time")
        yield Endpoint("GET", "/usage/embeddings", self.embeddings, "Tokens and requests of embeddings and rerank")
        yield Endpoint("GET", "/usage/moderations", self.moderations, "Requests to /v1/moderations over time")
        yield Endpoint("GET", "/costs", self.costs, "Costs over time, by the configured prices")

    async def completions(self, asked: Annotated[UsageAsked, Query()]) -> Json:
        chosen = span(asked, self._admin.now(), *BUCKETS[asked.bucket_width])
        totals = await self._totals(chosen, asked, asked.group_by, asked.models, self._pooling)
        return page(chosen, totals, usage_shape)

    async def embeddings(self, asked: Annotated[UsageAsked, Query()]) -> Json:
        """Of the models that serve no chats, by what the configuration says now."""
        chosen = span(asked, self._admin.now(), *BUCKETS[asked.bucket_width])
        models = [name for name in self._pooling if not asked.models or name in asked.models]
        totals = await self._totals(chosen, asked, asked.group_by, models) if models else []
        return page(chosen, totals, embeddings_shape)

    async def moderations(self, asked: Annotated[UsageAsked, Query()]) -> Json:
        """Those of the one model that its records name; they have no tokens."""
        chosen = span(asked, self._admin.now(), *BUCKETS[asked.bucket_width])
        if asked.models and MODERATIONS not in asked.models:
            return page(chosen, [], moderations_shape)
        return page(chosen, await self._totals(chosen, asked, asked.group_by, [MODERATIONS]), moderations_shape)

    async def costs(self, asked: Annotated[CostsAsked, Query()]) -> Json:
        chosen = span(asked, self._admin.now(), *COST_BUCKETS)
        return page(chosen, await self._totals(chosen, asked, asked.group_by), cost_shape)

    async def _totals(
        self,
        span: Span,
        asked: BucketsAsked,
        group_by: Sequence[str],
        models: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> list[UsageTotal]:
        return await self._store.usage(
            since=span.since,
            until=span.until,
            bucket_s=span.width,
            group_by=[GROUPS[name] for name in group_by],
            project_ids=asked.project_ids,
            key_ids=asked.api_key_ids,
            models=models,
            without=without,
        )


def usage_shape(total: UsageTotal) -> Json:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": total.prompt,
        "input_cached_tokens": total.cached,
        "input_uncached_tokens": total.prompt - total.cached,
        "output_tokens": total.completion,
        "output_reasoning_tokens": total.reasoning,
        "num_model_requests": total.requests,
        "project_id": total.project_id,
        "user_id": None,
        "api_key_id": total.key_id,
        "model": total.model,
        "batch": None,
        "service_tier": None,
    }


def moderations_shape(total: UsageTotal) -> Json:
    return _input_shape("moderations", total)


def embeddings_shape(total: UsageTotal) -> Json:
    return _input_shape("embeddings", total)


def _input_shape(of: str, total: UsageTotal) -> Json:
    """Of requests to which no model writes an answer."""
    return {
        "object": f"organization.usage.{of}.result",
        "input_tokens": total.prompt,
        "num_model_requests": total.requests,
        "project_id": total.project_id,
        "user_id": None,
        "api_key_id": total.key_id,
        "model": total.model,
    }


def cost_shape(total: UsageTotal) -> Json:
    """No currency is named: it is that of the configured prices."""
    return {
        "object": "organization.costs.result",
        "amount": {"value": total.cost / 1_000_000},
        "line_item": total.model,
        "project_id": total.project_id,
        "api_key_id": total.key_id,
    }
