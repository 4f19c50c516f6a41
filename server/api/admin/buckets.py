"""Usage over time: what is asked for, and one page of time buckets. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from server.api.admin.bodies import LATEST
from server.api.listing import Asked, Json
from server.errors import InvalidValue
from server.stores.records import UsageTotal

Width = Literal["1m", "1h", "1d"]
SECONDS: dict[Width, int] = {"1m": 60, "1h": 3600, "1d": 86_400}
Time = Annotated[int, Field(ge=0, le=LATEST)]
Ids = Annotated[list[str], Field(max_length=1000)]
_CURSOR = re.compile(r"page_(\d{1,12})\Z", re.ASCII)


class BucketsAsked(Asked):
    start_time: Time = Field(description="Unix seconds. The first bucket begins here.")
    end_time: Time | None = Field(default=None, description="Unix seconds, exclusive. Default: the end of this second.")
    bucket_width: Width = Field(default="1d", description="Length of a bucket.")
    project_ids: Ids = Field(default=[], description="Only these projects.")
    api_key_ids: Ids = Field(default=[], description="Only these keys.")
    limit: int | None = Field(default=None, ge=1, description="Buckets at most.")
    page: str | None = Field(default=None, max_length=64, description="`next_page` of the answer before.")


class Span(NamedTuple):
    """[since, until) in buckets of `width` seconds; `end` is where the whole question ends."""

    since: int
    until: int
    width: int
    end: int


def span(asked: BucketsAsked, now: int, default: int, most: int) -> Span:
    """The page that is asked for. Raises `InvalidValue`."""
    width, limit = SECONDS[asked.bucket_width], asked.limit or default
    if limit > most:
        raise InvalidValue(f"Invalid 'limit': at most {most} with bucket_width {asked.bucket_width}.", param="limit")
    end = now + 1 if asked.end_time is None else asked.end_time  # the present second is not over
    if end <= asked.start_time:
        raise InvalidValue("Invalid 'end_time': must be after start_time (default: now).", param="end_time")
    since = _begin(asked, width, end)
    return Span(since, min(end, since + limit * width), width, end)


def _begin(asked: BucketsAsked, width: int, end: int) -> int:
    if asked.page is None:
        return asked.start_time
    cursor = _CURSOR.match(asked.page)
    since = int(cursor[1]) if cursor else -1
    if not asked.start_time <= since < end or (since - asked.start_time) % width:
        raise InvalidValue("Invalid 'page': not a next_page of this question.", param="page")
    return since


def page(span: Span, totals: Sequence[UsageTotal], shape: Callable[[UsageTotal], Json]) -> Json:
    """Every bucket of the span, those without usage empty."""
    by_start: dict[int, list[Any]] = {start: [] for start in range(span.since, span.until, span.width)}
    for total in totals:
        by_start[total.start].append(shape(total))
    buckets = [
        {
            "object": "bucket",
            "start_time": start,
            "end_time": min(start + span.width, span.end),
            "results": results,
        }
        for start, results in by_start.items()
    ]
    more = span.until < span.end
    next_page = f"page_{span.until}" if more else None
    return {"object": "page", "data": buckets, "has_more": more, "next_page": next_page}
