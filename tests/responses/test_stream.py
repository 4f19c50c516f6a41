"""Events of a chat as those of a response: however they are cut, the stream says what the Response object says."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.call import Call, Key, Project, ServedModel
from server.config import Model
from server.openai.events import Event
from server.openai.reader import StreamReader, View
from server.responses.output import Output
from server.responses.request import ResponsesRequest
from server.responses.seal import Sealer
from server.responses.stream import ResponseStream, data_of, frame_of
from server.responses.translate import NO_PAST, translated
from tests.openai_schema import validator

SEALER = Sealer(b"secret")
is_event = validator("ResponseStreamEvent")
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
deltas = st.one_of(
    st.builds(lambda text: {"reasoning": text}, texts),
    st.builds(lambda text: {"content": text}, texts),
    st.builds(lambda name: {"tool_calls": [{"index": 0, "id": "c", "function": {"name": name}}]}, st.just("f")),
    st.builds(lambda text: {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}, texts),
)


def call_of(**body: Any) -> Call:
    request = ResponsesRequest(model="m", input="Hello", **body)
    chat, chat.asked = translated(request, NO_PAST, SEALER, "proj_1", 1)
    model = ServedModel("m", Model(engines=("e",)), 1)
    return Call("req_" + "0" * 32, "responses", Key("k", "k", Project("proj_1", "p")), model, chat, True, True)


def events_of(said: list[dict[str, Any]]) -> list[Event]:
    """As an engine would have said it."""
    reader = StreamReader(View("m", reasoning=True, chat=True))
    found: list[Event] = []
    for delta in said:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        found += reader.feed(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n")
    return found


@given(st.lists(deltas, max_size=12), st.sampled_from((None, "detailed", "auto")))
def test_the_stream_says_what_the_object_says(said: list[dict[str, Any]], summary: str | None) -> None:
    call = call_of()
    events, whole = events_of(said), Output(call, call.body.asked, SEALER)
    stream = ResponseStream(call, call.body.asked, SEALER)
    frames = [frame for event in events for frame in stream.batch([event])]
    for event in events:
        whole.feed(event)
    stream.begin()
    status, body, last = stream.end(2.0)
    told = [json.loads(data_of(frame)) for frame in (*frames, *stream.taken(), *last)]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    for event in told:
        is_event(event)
    assert (status, told[-1]["response"]) == ("completed", json.loads(body))
    ended = whole.ended(2.0)[1]["output"]
    shown = [{key: value for key, value in item.items() if key != "encrypted_content"} for item in ended]
    output = json.loads(body)["output"]
    assert [{key: value for key, value in item.items() if key != "encrypted_content"} for item in output] == shown
    for item in output:
        said_of = "".join(event.get("delta", "") for event in told if event.get("item_id") == item["id"])
        kind = item["type"]
        assert said_of == (item["arguments"] if kind == "function_call" else item["content"][0]["text"])


def test_a_frame_is_its_data_and_back() -> None:
    call = call_of()
    stream = ResponseStream(call, call.body.asked, SEALER)
    frames = stream.batch(events_of([{"content": "a"}, {"content": 'b "\n'}]))
    assert [frame_of(data_of(frame)) for frame in frames] == frames
