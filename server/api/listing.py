"""Lists in pages, by the id of the last one seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class Asked(BaseModel):
    """Query parameters. Further ones are refused: a filter that is passed over in silence would show too much."""

    model_config = ConfigDict(extra="forbid")


class PageAsked(Asked):
    limit: int = Field(default=20, ge=1, le=100, description="How many at most.")
    after: str | None = Field(default=None, max_length=128, description="Those after the one with this id.")


Page = Annotated[PageAsked, Query()]


def listing(rows: Sequence[Json], limit: int) -> Json:
    """Of `limit + 1` rows that were asked for: the last one only tells that there are more."""
    return whole_listing(rows[:limit], more=len(rows) > limit)


def whole_listing(rows: Sequence[Json], *, more: bool) -> Json:
    ids = [row["id"] for row in rows] or [None]
    return {"object": "list", "data": list(rows), "first_id": ids[0], "last_id": ids[-1], "has_more": more}


def part_of(rows: Sequence[Json], limit: int, after: str | None, before: str | None = None) -> Json:
    """A page of a list that is here as a whole: what follows `after`, or what comes right before `before`."""
    ids = [row["id"] for row in rows]
    start = ids.index(after) + 1 if after in ids else 0 if after is None else len(ids)
    end = ids.index(before) if before in ids else len(ids)
    if before is not None and after is None:
        return whole_listing(rows[max(0, end - limit) : end], more=end > limit)
    return listing(rows[start : min(end, start + limit + 1)], limit)
