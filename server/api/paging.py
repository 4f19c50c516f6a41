"""Queries of lists and of single things, in their shapes, and the lists that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import Request
from msgspec import Meta, Struct

from server.openai.parse import ALLOWED, explain
from server.stores.responses import Item

Query = TypeVar("Query", bound=Struct)
_encode = msgspec.json.encode


class PageAsked(Struct, forbid_unknown_fields=True):
    """`include` asks for what is always told, or is not there."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    include: list[str] = []


def asked_of(request: Request, shape: type[Query]) -> Query:
    """Raises `InvalidRequest` that names the parameter. `name[]` is a list, as SDKs write it."""
    given: dict[str, object] = {}
    for name, value in request.query_params.multi_items():
        if name.endswith("[]") or name == "include":
            given[name.removesuffix("[]")] = [*request.query_params.getlist(name)]
        else:
            given[name] = value
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        raise explain(str(error), shape, {**ALLOWED, "order": "asc, desc"}) from None


def listed(found: Sequence[Item], limit: int) -> bytes:
    """`found` has one more where there are more."""
    page = found[:limit]
    return _encode(
        {
            "object": "list",
            "data": [msgspec.Raw(one.body) for one in page],
            "first_id": page[0].id if page else "",
            "last_id": page[-1].id if page else "",
            "has_more": len(found) > limit,
        }
    )
