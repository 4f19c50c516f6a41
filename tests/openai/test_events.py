"""The quick path over learned frames says exactly what the slow path says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.openai import reader
from server.openai.events import Batch, TextEvent
from server.openai.reader import StreamReader, View
from tests.openai.streams import COUNTED, HIDDEN, RAW, SHOWN, TEXT, framed, payload, text_payload

PART = st.tuples(st.sampled_from(["content", "reasoning", "reasoning_content"]), TEXT, st.integers(0, 2))


def read(view: View, data: bytes, cut: int = 10**9) -> Batch:
    one = StreamReader(view)
    return [event for at in range(0, len(data), cut) for event in one.feed(data[at : at + cut])]


def has_text(event: Any) -> bool:
    """An empty text may go out as "" on one path and as {} on the other."""
    return any(event["choices"][0]["delta"].values())


def wire(events: Batch) -> list[Any]:
    return [json.loads(event.wire().removeprefix(b"data: ")) for event in events]


def slowly(view: View, data: bytes) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "MAX_TEMPLATES", 0)
        return wire(read(view, data))


@given(st.lists(PART, max_size=30), st.booleans(), st.integers(1, 300), st.sampled_from([SHOWN, HIDDEN, COUNTED]))
def test_chat(parts: list[tuple[str, str, int]], ascii_only: bool, cut: int, view: View) -> None:
    data = framed([payload({name: text}, index, ascii_only=ascii_only) for name, text, index in parts])
    events = read(view, data, cut)
    seen = [event for event in wire(events) if has_text(event)]
    assert seen == [event for event in slowly(view, data) if has_text(event)]
    for name, field in (("content", "content"), ("reasoning", "reasoning_content")):
        shown = view.reasoning or name == "content"
        for index in range(3):
            said = "".join(t for n, t, i in parts if n.startswith(name) and i == index)
            got = "".join(c["delta"].get(field) or "" for e in seen for c in e["choices"] if c["index"] == index)
            assert got == (said if shown else "")


@given(st.lists(TEXT, min_size=1, max_size=20))
def test_completions(texts: list[str]) -> None:
    data = framed([text_payload(text) for text in texts])
    assert wire(read(RAW, data)) == slowly(RAW, data)
    assert [event["choices"][0]["text"] for event in wire(read(RAW, data))] == texts


@given(TEXT)
def test_plain(text: str) -> None:
    for event in read(SHOWN, framed([payload({"content": "first"}), payload({"content": text})])):
        if isinstance(event, TextEvent):
            assert event.plain() == text


@pytest.mark.parametrize("view", [SHOWN, COUNTED])
@pytest.mark.parametrize("engine_says", [{}, {"usage": None}])
def test_frames_are_used(view: View, engine_says: dict[str, Any]) -> None:
    payloads = [payload({"role": "assistant", "content": ""}), *[payload({"content": f" w{i}"}) for i in range(10)]]
    said = [json.dumps(json.loads(one) | engine_says, separators=(",", ":")).encode() for one in payloads]
    events = read(view, framed(said))
    assert sum(isinstance(event, TextEvent) for event in events) == 9
    for event in wire(events):  # null, but only where the usage is to come
        assert event.get("usage", "absent") == (None if view.usage else "absent")


def test_a_change_of_the_frame_is_seen() -> None:
    parts = [payload({"content": "a"}), payload({"content": "b"}), payload({"content": "c"}, finish="length")]
    last = wire(read(SHOWN, framed(parts)))[-1]["choices"][0]
    assert (last["delta"], last["finish_reason"]) == ({"content": "c"}, "length")
