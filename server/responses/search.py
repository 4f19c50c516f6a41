"""The tool `web_search`: what a request says of it, and what a call of it was, for an item to tell. Pure.

Its servers name their tools and arguments as they like. Which of OpenAI's actions a call is, its arguments tell:

| argument | action |
|---|---|
| `pattern` | `find_in_page` |
| `query`, `queries` | `search` |
| `url`, `id`, `cursor` | `open_page` |
"""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec

from server.errors import UnsupportedValue
from server.openai.chat_request import Strict

SEARCH = "web_search"
SEARCH_TYPES = frozenset(("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"))
NO_PAGE = "about:blank"  # OpenAI's form of a search in a page asks for an address, and a call may have none
_PAGE = ("url", "id", "cursor")
_ARGUMENTS = msgspec.json.Decoder(dict[str, Any])


class Filters(Strict):
    allowed_domains: list[str] | None = None


class Location(Strict):
    type: Literal["approximate"] = "approximate"
    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class SearchTool(Strict, kw_only=True):
    """Where somebody is and how much they want to read are hints, which servers have no argument for."""

    type: str
    filters: Filters | None = None
    user_location: Location | None = None
    search_context_size: Literal["low", "medium", "high"] | None = None
    search_content_types: list[Literal["text", "image"]] | None = None
    external_web_access: bool | None = None

    def check(self, at: str) -> None:
        """What is no hint is not promised. Raises `UnsupportedValue`."""
        if self.filters is not None and self.filters.allowed_domains:
            raise UnsupportedValue(
                "Searches cannot be kept to some domains here: leave the filter out, and name them in the input.",
                param=f"{at}.filters.allowed_domains",
            )
        if self.external_web_access is False:
            raise UnsupportedValue(
                "Whether a search leaves the house is for its server to say: leave this out, or the tool.",
                param=f"{at}.external_web_access",
            )


def action_of(arguments: str) -> dict[str, Any]:
    """In the shape of OpenAI's items; `arguments` as the model wrote them."""
    given = _given(arguments)
    pattern, url = given.get("pattern"), _url(given)
    if isinstance(pattern, str):
        return {"type": "find_in_page", "pattern": pattern, "url": url or NO_PAGE}
    queries = _queries(given)
    if not queries and any(name in given for name in _PAGE):
        return {"type": "open_page", "url": url}
    return {"type": "search", "query": queries[0] if queries else "", "queries": queries}


def _given(arguments: str) -> dict[str, Any]:
    """Nothing, where the model wrote no JSON object."""
    try:
        return _ARGUMENTS.decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return {}


def _queries(given: dict[str, Any]) -> list[str]:
    one, more = given.get("query"), given.get("queries")
    asked = [one, *(cast("list[Any]", more) if isinstance(more, list) else [])]
    return [text for text in asked if isinstance(text, str)]


def _url(given: dict[str, Any]) -> str | None:
    """An `id` may be the number of a link."""
    told = (given.get(name) for name in _PAGE)
    return next((one for one in told if isinstance(one, str) and one.startswith(("http://", "https://"))), None)
