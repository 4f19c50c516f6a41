"""Answers of embedding and rerank models: however the engine writes them, and in whatever pieces they come."""

from __future__ import annotations

import base64
import json
import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.openai.chunks import Usage
from server.openai.pooling_answer import (
    MOST_HELD,
    TAIL,
    Base64Reader,
    EmbeddingReader,
    PooledChunk,
    RerankReader,
    data_of,
)
from server.openai.reader import EngineAnswerError

FLOATS = [{"object": "embedding", "index": i, "embedding": [i + 0.5, -0.25]} for i in range(3)]
TEXTS = [{"index": 0, "object": "embedding", "embedding": "AAAAPwAAgL4="}]
USAGE = {"prompt_tokens": 7, "total_tokens": 7}
ENVELOPES: dict[str, dict[str, Any]] = {
    "vllm": {"id": "embd-1", "object": "list", "created": 5, "model": "/weights", "data": None, "usage": USAGE},
    "openai": {"object": "list", "data": None, "model": "/weights", "usage": USAGE},
    "llamacpp": {"model": "/weights", "object": "list", "usage": USAGE, "data": None},
    "details": {"data": None, "usage": USAGE | {"prompt_tokens_details": {"kinds": [1, [2]]}}, "model": "]x["},
}


def counted(told: int) -> Usage:
    return Usage(told or 99, estimated=not told)


def read(reader: Any, body: bytes, cuts: list[int] | None = None) -> tuple[list[bytes], Usage | None]:
    """The pieces, and the usage that came with the last."""
    places = [0, *sorted({at % (len(body) + 1) for at in cuts or ()}), len(body)]
    events = [event for start, end in pairwise(places) for event in reader.feed(body[start:end])]
    last = reader.end()
    assert last is not None and reader.done
    chunk = last[-1].chunk
    assert isinstance(chunk, PooledChunk)
    return [data_of(event) for event in (*events, *last)], chunk.usage or None


@pytest.mark.parametrize("envelope", ENVELOPES.values(), ids=ENVELOPES)
@pytest.mark.parametrize("style", [{"separators": (",", ":")}, {"indent": 2}, {}])
@pytest.mark.parametrize("vectors", [FLOATS, TEXTS, []])
def test_any_way_of_writing_it(envelope: dict[str, Any], style: dict[str, Any], vectors: list[Any]) -> None:
    body = json.dumps(envelope | {"data": vectors}, **style).encode()
    (data,), usage = read(EmbeddingReader("public", counted), body)
    assert json.loads(data) == {"object": "list", "model": "public", "data": vectors, "usage": USAGE}
    assert usage == Usage(7)


@given(
    count=st.integers(0, 40),
    length=st.integers(1, 600),
    name=st.sampled_from(list(ENVELOPES)),
    cuts=st.lists(st.integers(0, 10**7), max_size=12),
)
def test_any_split_of_any_size_is_the_same_answer(count: int, length: int, name: str, cuts: list[int]) -> None:
    vectors = [{"index": i, "object": "embedding", "embedding": [i / 7] * length * (i % 5)} for i in range(count)]
    body = json.dumps(ENVELOPES[name] | {"data": vectors}).encode()
    pieces, usage = read(EmbeddingReader("public", counted), body, cuts)
    assert json.loads(b"".join(pieces)) == {"object": "list", "model": "public", "data": vectors, "usage": USAGE}
    assert usage == Usage(7)


def test_a_long_answer_leaves_while_it_comes() -> None:
    vectors = [{"index": i, "object": "embedding", "embedding": [0.125] * 1000} for i in range(400)]
    body = json.dumps(ENVELOPES["openai"] | {"data": vectors}).encode()
    reader, held, left = EmbeddingReader("public", counted), 0, []
    for at in range(0, len(body), 50_000):
        came = body[at : at + 50_000]
        events = reader.feed(came)
        left += [data_of(event) for event in events]
        held += len(came) - sum(len(data_of(event)) for event in events)
        assert held <= MOST_HELD + 50_000
    left += [data_of(event) for event in reader.end() or ()]
    assert len(left) > 10
    assert json.loads(b"".join(left))["data"] == vectors


def test_what_the_engine_does_not_count_is_estimated() -> None:
    for usage in ({}, {"usage": None}, {"usage": {"prompt_tokens": 0, "total_tokens": 0}}, {"usage": {}}):
        body = json.dumps({"data": FLOATS} | usage).encode()
        (data,), told = read(EmbeddingReader("public", counted), body)
        assert json.loads(data)["usage"] == {"prompt_tokens": 99, "total_tokens": 99, "estimated": True}
        assert told == Usage(99, estimated=True)


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b'{"error": {"message": "m"}}', b"[1]", b'{"data": {}}'])
def test_what_is_no_list_of_vectors(body: bytes) -> None:
    reader = EmbeddingReader("public", counted)
    reader.feed(body)
    with pytest.raises(EngineAnswerError) as caught:
        reader.end()
    assert caught.value.payload == body
    with pytest.raises(EngineAnswerError):
        EmbeddingReader("public", counted).feed(b"x" * MOST_HELD)


def test_an_answer_that_ends_too_early() -> None:
    body = json.dumps(ENVELOPES["openai"] | {"data": FLOATS}).encode()
    for end in range(body.index(b"[") + 1, len(body)):
        reader = EmbeddingReader("public", counted)
        reader.feed(body[:end])
        assert reader.end() is None, body[:end]
        assert not reader.done


def test_the_end_is_found_though_much_came() -> None:
    long = json.dumps({"data": [{"index": 0, "embedding": [0.5] * 200_000}], "usage": USAGE}).encode()
    assert len(long) > MOST_HELD
    reader = EmbeddingReader("public", counted)
    reader.feed(long[: -len(json.dumps(USAGE)) - 20])
    assert len(reader._held) == TAIL
    assert reader.feed(long[-len(json.dumps(USAGE)) - 20 :]) == []
    assert reader.end()


def test_numbers_become_base64_and_base64_stays() -> None:
    for vectors in (FLOATS, TEXTS):
        (data,), usage = read(Base64Reader("public", counted), json.dumps({"data": vectors, "usage": USAGE}).encode())
        for sent, came in zip(json.loads(data)["data"], vectors, strict=True):
            assert isinstance(sent["embedding"], str)
            plain = came["embedding"]
            assert sent["embedding"] == plain or struct.unpack("<2f", base64.b64decode(sent["embedding"])) == tuple(
                plain
            )
        assert usage == Usage(7)
    with pytest.raises(EngineAnswerError):
        read(Base64Reader("public", counted), b'{"data": [{"index": 0}]}')


DOCUMENTS = ["a", "b", "c"]
SCORES = [
    {"index": 0, "relevance_score": 0.1},
    {"index": 1, "relevance_score": 0.9},
    {"index": 2, "relevance_score": 0.4},
]
SGLANG = [
    {"index": one["index"], "score": one["relevance_score"], "document": "x", "meta_info": {"prompt_tokens": 5}}
    for one in SCORES
]


def ranked(body: object, top_n: int | None = None, documents: list[str] | None = None) -> dict[str, Any]:
    (data,), _ = read(RerankReader("req_1", "public", counted, 3, top_n, documents), json.dumps(body).encode())
    return json.loads(data)


def test_a_ranking_is_in_order_and_cut() -> None:
    answer = {"id": "x", "model": "/weights", "results": SCORES, "usage": USAGE}
    order = [(one["index"], one["relevance_score"]) for one in ranked(answer)["results"]]
    assert order == [(1, 0.9), (2, 0.4), (0, 0.1)]
    assert [one["index"] for one in ranked(answer, top_n=2)["results"]] == [1, 2]
    assert [one["index"] for one in ranked(answer, top_n=9)["results"]] == [1, 2, 0]
    told = ranked(answer, 1, DOCUMENTS)
    assert told == {
        "id": "req_1",
        "model": "public",
        "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}],
        "usage": USAGE,
    }


def test_equal_scores_keep_the_order_of_the_request() -> None:
    results = [{"index": index, "relevance_score": 0.5} for index in (2, 0, 1)]
    assert [one["index"] for one in ranked({"results": results})["results"]] == [0, 1, 2]


def test_a_ranking_in_sglangs_shape() -> None:
    told = ranked(SGLANG, 1)
    assert told["results"] == [{"index": 1, "relevance_score": 0.9}]
    assert told["usage"] == {"prompt_tokens": 15, "total_tokens": 15}
    assert ranked([{"index": 0, "score": 1.0}])["usage"]["estimated"] is True


@pytest.mark.parametrize(
    "body",
    [{}, {"results": [{"index": 3, "relevance_score": 1}]}, {"results": [{"index": -1, "relevance_score": 1}]},
     {"results": [{"index": 0}]}, {"error": "x"}, "text", [{"index": 0}]],
)  # fmt: skip
def test_what_is_no_ranking_of_this_request(body: object) -> None:
    with pytest.raises(EngineAnswerError):
        ranked(body)
