from __future__ import annotations

from server.usage.record import LOST, lost_record_of, record_of
from tests.usage.doubles import call


def test_record() -> None:
    record = record_of(call(7, queued_s=0.25, first_token=2.0, outcome="client_gone"))
    assert (record.call_id, record.project_id, record.key_id, record.model) == (f"req_{7:032x}", "proj_1", "key_1", "m")
    assert (record.endpoint, record.priority, record.outcome, record.status) == (
        "completions",
        "standard",
        "client_gone",
        200,
    )
    assert (record.prompt, record.cached, record.completion, record.reasoning) == (100, 40, 20, 5)
    assert record.cost == 60 * 2 + 40 * 1 + 20 * 10
    assert (record.queued_ms, record.first_token_ms, record.duration_ms) == (250, 1000, 2000)


def test_the_record_of_a_call_that_is_never_heard_of_again() -> None:
    record = lost_record_of(call(size=4000, counted=812))
    assert (record.outcome, record.status, record.prompt, record.completion) == (LOST, 0, 812, 0)
    assert record.cost == 812 * 2
    assert lost_record_of(call(size=4000)).prompt == 1000
