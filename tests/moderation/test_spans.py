"""From spans in several texts that were shown as one to edits of each of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.moderation.cutter import Cutter
from server.moderation.edits import Edit, applied, merged
from server.moderation.spans import edits_of, places
from tests.answers.test_stop import cut

JOINT = "--"
PARTS = st.lists(st.text("abc", max_size=6), min_size=1, max_size=5)
SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=5)


@given(PARTS, st.integers(0, 40), st.integers(0, 12))
def test_each_character_of_a_span_is_found_in_its_part(parts: list[str], start: int, size: int) -> None:
    whole = [
        (part, at)
        for part, text in enumerate(parts)
        for at in [*range(len(text)), *([-1] * len(JOINT) if part < len(parts) - 1 else [])]
    ]
    found = list(places(start, min(start + size, len(whole)), [len(one) for one in parts], len(JOINT)))
    covered = [(one.part, at) for one in found for at in range(one.start, one.end)]
    assert covered == [place for place in whole[start : start + size] if place[1] >= 0]
    assert all(one.start < one.end for one in found)


@given(st.text("abc", max_size=40), SPANS, st.lists(st.integers(0, 50), max_size=9))
def test_a_text_in_parts_is_edited_as_the_whole(text: str, spans: list[tuple[int, int]], cuts: list[int]) -> None:
    inside = [(start, min(len(text), start + size)) for start, size in spans if start < len(text)]
    edits = merged(Edit(start, end, f"<{at}>", at) for at, (start, end) in enumerate(inside))
    cutter = Cutter(edits)
    assert "".join(map(cutter.feed, cut(text, cuts))) + cutter.finish() == applied(text, edits)


@pytest.mark.parametrize(
    ("text", "marked", "expected"),
    [
        ('{"to": "bob@x.com"}', '"bob@x.com', '{"to": "[\\"]"}'),  # tokens take a quotation mark along
        ('{"to": "bob@x.com"}', ' "bob@x.com"}', '{"to": "[\\"]"}'),
        ('{"n": 5551234567}', "5551234567", None),  # a number cannot be replaced by a text
        ('{"a": "x\\ny"}', "ny", None),  # half an escape
        ('{"a": "bob', "bob", '{"a": "[\\"]'),  # an answer that was cut is no JSON before either
        ('{"a": "bob\\u0301"}', "bob", '{"a": "[\\"]"}'),
    ],
)
def test_json_stays_json(text: str, marked: str, expected: str | None) -> None:
    start = text.index(marked)
    edits = edits_of(text, [Edit(start, start + len(marked), '["]')], in_json=True)
    assert (None if edits is None else applied(text, edits)) == expected
    if expected is not None and expected.endswith("}"):
        assert "bob" not in json.dumps(json.loads(expected))
