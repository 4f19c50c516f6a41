"""Where the rules find something in a request, and what becomes of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.moderation.input import STEP, Inspection
from server.moderation.literals import Literals
from server.moderation.patterns import Pattern, PatternMatcher
from server.moderation.policy import Action, Decoding, Rule
from server.moderation.regex import parse
from server.moderation.seams import SEAM
from server.moderation.segments import Segment, segments_of
from server.openai.chat_request import ChatRequest, CompletionRequest
from tests.answers.test_stop import cut
from tests.moderation.brute import BruteMatcher

BAD = "lantern"


def rule(action: Action = "block", replacement: str = "[removed]") -> Rule:
    return Rule(id="r", category="own", literals=("x",), action=action, replacement=replacement)


def inspected(segments: list[Segment], action: Action = "block", *patterns: str) -> Inspection:
    matcher = BruteMatcher(patterns or (BAD,))
    screens = dict.fromkeys(("content", "reasoning", "tool_arguments"), matcher)
    inspection = Inspection(segments, screens, [rule(action)] * len(matcher.patterns))  # type: ignore[arg-type]
    for _ in inspection.steps():
        pass
    return inspection


def chat(**fields: Any) -> ChatRequest:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]} | fields
    return msgspec.convert(body, ChatRequest)


FUNCTION = {"name": "f", "description": "says", "parameters": {"type": "object", "properties": {"x": {}}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PLACES: dict[str, dict[str, Any]] = {
    "messages[0].content": {"messages": [{"role": "system", "content": BAD}]},
    "messages[0].content[1].text": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in ("a", f"so {BAD}!")]}]
    },
    "messages[0].content[0].refusal": {
        "messages": [{"role": "assistant", "content": [{"type": "refusal", "refusal": BAD}]}]
    },
    "messages[0].refusal": {"messages": [{"role": "assistant", "refusal": BAD}]},
    "messages[0].reasoning": {"messages": [{"role": "assistant", "content": "x", "reasoning": BAD}]},
    "messages[0].reasoning_content": {"messages": [{"role": "assistant", "content": "x", "reasoning_content": BAD}]},
    "messages[0].name": {"messages": [{"role": "user", "content": "x", "name": BAD}]},
    "messages[0].tool_calls[0].function.name": {
        "messages": [{"role": "assistant", "tool_calls": [CALL | {"function": {"name": BAD, "arguments": ""}}]}]
    },
    "messages[0].tool_calls[0].function.arguments": {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [CALL | {"function": {"name": "f", "arguments": r'{"a": "l\u0061ntern"}'}}],
            }
        ]
    },
    "messages[1].content": {
        "messages": [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c", "content": BAD}]
    },
    "tools[0].function.name": {"tools": [{"type": "function", "function": FUNCTION | {"name": BAD}}]},
    "tools[0].function.description": {"tools": [{"type": "function", "function": FUNCTION | {"description": BAD}}]},
    "tools[0].function.parameters": {
        "tools": [{"type": "function", "function": FUNCTION | {"parameters": {"properties": {BAD: {}}}}}]
    },
    "response_format.json_schema.name": {
        "response_format": {"type": "json_schema", "json_schema": {"name": BAD, "schema": {}}}
    },
    "response_format.json_schema.description": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": BAD}}
    },
    "response_format.json_schema.schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"enum": ["a", BAD]}}}
    },
    "stop": {"stop": ["x", BAD]},
    "metadata": {"metadata": {"k": BAD}},
}


@pytest.mark.parametrize("param", PLACES)
def test_every_place_is_looked_at(param: str) -> None:
    inspection = inspected(segments_of(chat(**PLACES[param])))
    hit = inspection.first("block")
    assert hit is not None
    assert inspection.segments[hit.segment].param == param


@pytest.mark.parametrize("param", PLACES)
def test_what_can_be_replaced_is_gone_and_the_rest_is_told(param: str) -> None:
    body = chat(**PLACES[param])
    inspection = inspected(segments_of(body), "redact")
    kept = inspection.unredactable()
    if kept is None:
        inspection.redact()
        assert BAD not in msgspec.json.encode(body).decode()
        assert inspected(segments_of(body)).hits == []
    else:
        assert inspection.segments[kept.segment].param == param
        assert inspection.segments[kept.segment].put is None


def test_completions() -> None:
    body = msgspec.convert({"model": "m", "prompt": ["a", f"the {BAD}"], "stop": BAD}, CompletionRequest)
    inspection = inspected(segments_of(body), "redact")
    assert [inspection.segments[one.segment].param for one in inspection.hits] == ["prompt[1]", "stop"]
    inspection.redact()
    assert body.prompt == ["a", "the [removed]"]


def test_a_request_that_nobody_knows_is_not_passed_on() -> None:
    with pytest.raises(TypeError):
        segments_of(object())


def test_a_replacement_within_arguments_is_json() -> None:
    call = CALL | {"function": {"name": "f", "arguments": r'{"a": "my l\u0061ntern"}'}}
    body = chat(messages=[{"role": "assistant", "tool_calls": [call]}])
    segments = segments_of(body)
    matcher = BruteMatcher([BAD])
    inspection = Inspection(segments, {"tool_arguments": matcher}, [rule("redact", 'a "quoted" \\ word')])
    list(inspection.steps())
    inspection.redact()
    (message,) = body.messages
    arguments = message.tool_calls[0].function.arguments  # type: ignore[union-attr, index]
    assert msgspec.json.decode(arguments) == {"a": 'my a "quoted" \\ word'}


def test_what_two_readings_find_is_told_once() -> None:
    """rot13 of an address has the form of one too."""
    address = Pattern(parse(r"[a-z]{1,20}@[a-z]{1,20}\.[a-z]{2,5}"))
    segments = [Segment("a", "content", "to bob@corp.com")]
    decoding = Decoding(encodings=("rot13",))
    inspection = Inspection(segments, {"content": PatternMatcher([address])}, [rule()], decoding)
    list(inspection.steps())
    assert [(one.start, one.end) for one in inspection.hits] == [(3, 15)]


# Seams


@given(st.lists(st.integers(0, len(BAD)), max_size=5), st.text("ab ", max_size=8), st.text("ab ", max_size=8))
def test_a_word_in_pieces(cuts: list[int], before: str, after: str) -> None:
    texts = [before + "x", *cut(BAD, cuts), "x" + after]
    written = list(texts)
    segments = [
        Segment(f"messages[{at}].content", "content", text, lambda new, at=at: written.__setitem__(at, new))
        for at, text in enumerate(texts)
        if text
    ]
    inspection = inspected(segments, "redact")
    assert inspection.hits
    inspection.redact()
    assert "".join(written).replace("[removed]", "") == f"{before}xx{after}"


def test_across_a_seam_of_long_texts() -> None:
    texts = ["z" * (2 * SEAM) + "lan", "tern" + "z" * (2 * SEAM), "z" * 10]
    inspection = inspected([Segment(f"m{at}", "content", text) for at, text in enumerate(texts)])
    assert [(one.segment, one.start, one.end) for one in inspection.hits] == [
        (0, 2 * SEAM, 2 * SEAM + 3),
        (1, 0, 4),
    ]


def test_the_middle_that_is_left_out_joins_nothing() -> None:
    long = "lan" + "z" * (3 * SEAM) + "tern"
    text = "z" * (SEAM - 3) + "lan" + "z" * SEAM + "tern" + "z" * (SEAM - 4)
    assert inspected([Segment("a", "content", long), Segment("b", "content", text)]).hits == []


def test_a_long_text_comes_in_steps() -> None:
    text = ("z" * 100 + BAD) * (3 * STEP // 107)
    matcher = BruteSteps([BAD])
    inspection = Inspection([Segment("a", "content", text)], {"content": matcher}, [rule()])  # type: ignore[dict-item]
    steps = sum(1 for _ in inspection.steps())
    assert steps >= 3
    assert [one.start for one in inspection.hits] == [at for at in range(len(text)) if text.startswith(BAD, at)]


class BruteSteps(BruteMatcher):
    """Whole texts are not asked for where they are long."""

    def scan(self, text: str) -> Any:
        assert len(text) <= STEP
        return super().scan(text)

    def stream(self) -> Any:
        return _Tail(self.patterns)


class _Tail:
    """As `BruteStream`, keeping no more than it must."""

    def __init__(self, patterns: Any) -> None:
        self._patterns = patterns
        self._tail, self._at, self.hold_from = "", 0, 0

    def feed(self, text: str) -> Any:
        whole, base = self._tail + text, self._at - len(self._tail)
        told = [
            one._replace(start=one.start + base, end=one.end + base)
            for one in BruteMatcher(self._patterns).scan(whole)
            if one.end > len(self._tail)
        ]
        self._at += len(text)
        self._tail = whole[-20:]
        return told

    def finish(self) -> Any:
        return []


def test_every_seam_may_be_a_space_or_none() -> None:
    """Cut within a word and between two, with letters beside, and with a name between."""
    written = ["hi", "project la", "nt", "ern east", "bye"]
    segments = [Segment(f"m{at}", "content", text) for at, text in enumerate(written)]
    segments.insert(3, Segment("name", "content", "bob", beside=True))
    inspection = Inspection(segments, {"content": Literals(["project lantern east"])}, [rule()])
    list(inspection.steps())
    assert [(one.segment, one.start, one.end) for one in inspection.hits] == [(1, 0, 10), (2, 0, 2), (4, 0, 8)]
