"""The Model Context Protocol without IO."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.responses.hosted import execution_error
from server.toolbox.faults import ToolFault
from server.toolbox.mcp import MOST_ANSWER, PAGE, RESULT, Reading, greeting, read, request, shortened

ANSWER: dict[str, Any] = {"jsonrpc": "2.0", "id": 7, "result": {"said": "é\n"}}
OTHERS: list[dict[str, Any]] = [
    {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}},
    {"jsonrpc": "2.0", "id": 7, "method": "ping"},  # a question of the server's, with a number of its own
    {"jsonrpc": "2.0", "id": 6, "result": {}},
]


def events(*messages: Any, line_end: str = "\n") -> bytes:
    text = "".join(f"id: 1\nevent: message\ndata: {json.dumps(one)}\n\n" for one in messages)
    return (": hello\n\n" + text).replace("\n", line_end).encode()


def reading(kind: str) -> Reading:
    made = Reading(7)
    made.head({"content-type": kind})
    return made


@given(cuts=st.lists(st.integers(0, 500), max_size=8), line_end=st.sampled_from(["\n", "\r\n"]))
def test_the_answer_among_events_however_they_are_cut(cuts: list[int], line_end: str) -> None:
    body = events(*OTHERS, ANSWER, line_end=line_end)
    one = reading("text/event-stream; charset=utf-8")
    places = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    came = [one.data(body[begin:end]) for begin, end in itertools.pairwise(places)]
    assert came[-1]
    assert json.loads(one.end()) == ANSWER["result"]


@pytest.mark.parametrize("batch", [False, True])
def test_the_answer_in_json(batch: bool) -> None:
    one = reading("application/json")
    body = json.dumps([*OTHERS, ANSWER] if batch else ANSWER).encode()
    assert not one.data(body[:10])
    assert not one.data(body[10:])
    assert json.loads(one.end()) == ANSWER["result"]


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"id": 6, "result": {}}', b"[" * 5000, b'{"id": {}}'])
def test_what_is_no_answer(body: bytes) -> None:
    for kind in ("application/json", "text/event-stream"):
        one = reading(kind)
        with pytest.raises(ToolFault) as caught:
            one.data(body if kind == "application/json" else b"data: " + body + b"\n\n")
            one.end()
        assert caught.value.failure == "protocol_error"


def test_a_server_that_refuses() -> None:
    one = reading("application/json")
    one.data(json.dumps({"id": 7, "error": {"code": -32602, "message": "no such tool" * 1000}}).encode())
    with pytest.raises(ToolFault) as caught:
        one.end()
    assert (caught.value.error["code"], len(caught.value.error["message"])) == (-32602, 1000)


def test_an_answer_without_end() -> None:
    one = reading("text/event-stream")
    with pytest.raises(ToolFault) as caught:
        while True:
            one.data(b": x\n" * 65_536)
    assert caught.value.failure == "too_large"
    assert str(MOST_ANSWER) in caught.value.error["message"]


@pytest.mark.parametrize(
    "result, output, error",
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb", None),
        ({"content": [{"type": "text", "text": "no"}], "isError": True}, None, execution_error("no")),
        ({"content": [], "structuredContent": {"a": 1}}, '{"a":1}', None),
        ({"content": [{"type": "resource", "resource": {"uri": "x:y", "text": "r"}}]}, "r", None),
        (
            {"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]},
            "(content of type 'image', which the model does not read)",
            None,
        ),
        ({"content": [{"type": "text", "text": "x" * 500}]}, "x" * 94 + "\n(cut)", None),
    ],
)
def test_what_a_tool_says(result: dict[str, Any], output: str | None, error: dict[str, Any] | None) -> None:
    assert read(RESULT, json.dumps(result).encode()).outcome(100) == (output, error)


@given(text=st.text(alphabet=st.characters(codec="utf-8")), most=st.integers(16, 40))
def test_shortened_text_is_no_longer_than_it_may_be(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short.encode()) <= most
    assert short == text or (short.endswith("\n(cut)") and text.startswith(short.removesuffix("\n(cut)")))


def test_what_is_sent_and_what_is_listed() -> None:
    sent = json.loads(request(1, "initialize", greeting("0.1.0")))
    assert (sent["jsonrpc"], sent["id"], sent["params"]["capabilities"]) == ("2.0", 1, {})
    page = read(PAGE, b'{"tools": [{"name": "a", "inputSchema": {"type": "object"}, "title": "A"}], "nextCursor": "c"}')
    assert page.next_cursor == "c"
    assert page.listed()[0] == ("a", None, {"type": "object"}, None)
