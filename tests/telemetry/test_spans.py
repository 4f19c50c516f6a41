"""The spans of a call."""

from __future__ import annotations

from server.call import Trace
from server.telemetry.spans import spans_of
from tests.telemetry.workers import a_call

SECOND = 10**9
TRACE = Trace("a" * 32, "b" * 16, "c" * 16, "d" * 16, sampled=True)


def test_a_call_that_waited() -> None:
    whole, queue, engine = spans_of(a_call(), TRACE, "c" * 16, "e" * 16, 100 * SECOND)
    assert (whole.parent, queue.parent, engine.parent) == ("b" * 16, "c" * 16, "c" * 16)
    assert (whole.id, queue.id, engine.id) == ("c" * 16, "e" * 16, "d" * 16)
    assert {one.trace_id for one in (whole, queue, engine)} == {"a" * 32}
    seconds = [(one.start / SECOND, one.end / SECOND) for one in (whole, queue, engine)]
    assert seconds == [(101.0, 103.75), (101.0, 101.5), (101.5, 103.5)]
    assert (whole.kind, queue.kind, engine.kind) == ("server", "internal", "client")
    assert whole.name == engine.name == "chat gpt-oss-20b"
    facts = whole.attributes
    assert facts["gen_ai.usage.input_tokens"] == 100
    assert facts["gen_ai.usage.output_tokens"] == 9
    assert facts["gen_ai.usage.cache_read.input_tokens"] == 60
    assert facts["gen_ai.response.time_to_first_chunk"] == 1.0
    assert facts["http.response.status_code"] == 200
    assert "error.type" not in facts


def test_one_that_never_reached_an_engine() -> None:
    call = a_call(outcome="engine_overloaded")
    call.dispatched = call.engine_done = call.first_token = call.tokens = None
    whole, queue = spans_of(call, TRACE, "c" * 16, "e" * 16, 0)
    assert whole.error == whole.attributes["error.type"] == "engine_overloaded"
    assert (queue.start, queue.end) == (int(3.25 * SECOND), int(3.75 * SECOND))
    assert "gen_ai.usage.input_tokens" not in whole.attributes


def test_one_that_did_not_wait() -> None:
    call = a_call()
    call.queued_s, call.engine_done = 0.0, None
    whole, engine = spans_of(call, TRACE, "c" * 16, "e" * 16, 0)
    assert engine.end == whole.end


def test_one_for_embeddings() -> None:
    call = a_call()
    call.endpoint = "embeddings"
    whole, *_ = spans_of(call, TRACE, "c" * 16, "e" * 16, 0)
    assert whole.name == "embeddings gpt-oss-20b"
    assert whole.attributes["gen_ai.operation.name"] == "embeddings"
    assert whole.attributes["http.route"] == "/v1/embeddings"
