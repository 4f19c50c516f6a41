"""What a call of `web_search` was, by its arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.responses.seal import Sealer
from server.responses.search import action_of
from tests.openai_schema import validator

PAGE = "https://a.org/b"


@pytest.mark.parametrize(
    "arguments, action",
    [
        ({"query": "owls", "topn": 3}, {"type": "search", "query": "owls", "queries": ["owls"]}),
        ({"queries": ["a", "b", 3]}, {"type": "search", "query": "a", "queries": ["a", "b"]}),
        ({"q": "owls"}, {"type": "search", "query": "", "queries": []}),
        ({"url": PAGE}, {"type": "open_page", "url": PAGE}),
        ({"id": PAGE, "cursor": 1}, {"type": "open_page", "url": PAGE}),
        ({"id": 3}, {"type": "open_page", "url": None}),
        ({"cursor": 0, "loc": 20}, {"type": "open_page", "url": None}),
        ({"pattern": "beak", "url": PAGE}, {"type": "find_in_page", "pattern": "beak", "url": PAGE}),
        ({"pattern": "beak", "cursor": 1}, {"type": "find_in_page", "pattern": "beak", "url": "about:blank"}),
        ([1], {"type": "search", "query": "", "queries": []}),
    ],
)
def test_the_action_of_a_call(arguments: Any, action: dict[str, Any]) -> None:
    assert action_of(json.dumps(arguments)) == action


VALUES = st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text()))
CALLS = st.dictionaries(st.sampled_from(["query", "queries", "url", "id", "cursor", "pattern"]), VALUES)


@given(arguments=st.one_of(st.text(), CALLS.map(json.dumps)))
def test_whatever_the_model_wrote_the_item_is_one_of_openais(arguments: str) -> None:
    item = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": action_of(arguments)}
    validator("WebSearchToolCall")(item)


@given(call=st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]))] * 3))
def test_a_call_is_sealed_for_its_project(call: tuple[str, str, str]) -> None:
    sealer = Sealer(b"secret")
    token = sealer.seal_call("proj", *call)
    assert sealer.call("proj", token) == call
    assert sealer.call("proj2", token) is None
    assert sealer.restored("proj", token, "") is None
    assert sealer.call("proj", sealer.seal("proj", "text")) is None
    assert sealer.call("proj", "") is None
