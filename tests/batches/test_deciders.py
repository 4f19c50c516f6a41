"""What decides about lines and batches, without any IO."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from server.batches.answer import collected
from server.batches.patience import Patience, wait_s
from server.batches.room import Room, standing_of
from server.batches.states import cancelling, ended, finalizing, refused, validated
from server.batches.tools import LineKind
from server.batches.validation import MOST_ERRORS, Validation
from server.call import Call, Key, Project, ServedModel
from server.config import Model
from server.errors import (
    ContentFiltered,
    EngineFailure,
    EngineTimedOut,
    EngineUnavailable,
    GatewayError,
    InsufficientQuota,
    InvalidRequest,
    ModelNotFound,
    ShuttingDown,
    StoreUnavailable,
    TooManyRequests,
)
from server.openai.collect import Collector
from server.stores.base import NotAllowed
from server.stores.batches import BatchRecord, LineError

CHAT = "/v1/chat/completions"
KEY = Key("key_1", "k", Project("p", "p"))
RECORD = BatchRecord("batch_1", "p", "key_1", CHAT, "file-1", 100, 86_500)


def a_call(model: str = "m", stream: bool = False) -> Call:
    return Call("req_1", "chat.completions", KEY, ServedModel(model, Model(engines=("one",)), 0), None, stream, False)


def new_call(body: bytes, key: Key, request_id: str) -> Call:
    fields = json.loads(body)
    if fields["model"] == "none":
        raise ModelNotFound("no such model", param="model")
    return a_call(fields["model"], fields.get("stream", False))


def line(name: str = "a", **changes: Any) -> bytes:
    return json.dumps({"custom_id": name, "method": "POST", "url": CHAT, "body": {"model": "m"}} | changes).encode()


def checked(*lines: bytes | None, most: int = 1000) -> Validation:
    check = Validation(CHAT, most, LineKind("chat.completions", new_call, collected(Collector)), KEY)

    async def read() -> None:
        for number, text in enumerate(lines, 1):
            await check.check(number, text)

    asyncio.run(read())
    check.finish()
    return check


# Validation


def test_a_good_input() -> None:
    check = checked(line("a"), line("b"))
    assert (check.errors, check.total, check.model) == ([], 2, "m")
    assert checked(line("a"), line("b", body={"model": "other"})).model is None


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b'"text"', "invalid_type", None),
        (b"\xff", "invalid_json", None),
        (line(custom_id=""), "invalid_value", "custom_id"),
        (line(custom_id=7), "invalid_type", "custom_id"),
        (line(custom_id="x" * 513), "invalid_value", "custom_id"),
        (line(method="GET"), "invalid_value", "method"),
        (line(url="/v1/completions"), "invalid_value", "url"),
        (line(priority=1), "unknown_parameter", "priority"),
        (line(body={"model": "none"}), "model_not_found", "body.model"),
        (line(body={"model": "m", "stream": True}), "invalid_value", "body.stream"),
        (b'{"custom_id": "b", "method": "POST", "url": "/v1/chat/completions"}', "missing_required_parameter", "body"),
        (None, "line_too_long", None),
        (line("b")[:-14] + b"[" * 200_000, "invalid_json", None),
    ],
)
def test_what_is_wrong_names_its_line(text: bytes | None, code: str, param: str | None) -> None:
    (error,) = checked(line("b"), text, line("c")).errors
    assert (error.line, error.code, error.param) == (2, code, param)
    assert "body is not" not in error.message


def test_an_id_that_comes_twice() -> None:
    (error,) = checked(line("a"), line("b"), line("a")).errors
    assert (error.code, error.line, error.param) == ("duplicate_custom_id", 3, "custom_id")


def test_bounds_of_an_input() -> None:
    assert [error.code for error in checked().errors] == ["empty_file"]
    too_many = checked(line("a"), line("b"), line("c"), most=2)
    assert too_many.hopeless and too_many.errors[0].code == "too_many_lines"
    assert checked(*[b"{"] * MOST_ERRORS).hopeless
    assert not checked(*[b"{"] * (MOST_ERRORS - 1)).hopeless


# Patience


@pytest.mark.parametrize(
    ("error", "tries", "wait"),
    [
        (TooManyRequests("later", retry_after=7), 50, 7),
        (TooManyRequests("later", retry_after=4000), 1, 30),
        (TooManyRequests("later", retry_after=0.001), 1, 0.5),
        (TooManyRequests("never fits"), 1, None),
        (InsufficientQuota("next month", retry_after=1e6), 9, 30),
        (EngineUnavailable("loading"), 99, 30),
        (StoreUnavailable("down", retry_after=2), 99, 2),
        (ShuttingDown("bye", retry_after=1), 1, 1),
        (EngineFailure("broke"), 1, 1),
        (EngineTimedOut("slow"), 2, 2),
        (EngineFailure("broke"), 3, None),
        (InvalidRequest("bad"), 1, None),
        (ContentFiltered("no"), 1, None),
        (GatewayError("a bug"), 1, None),
    ],
)
def test_how_long_a_line_waits(error: GatewayError, tries: int, wait: float | None) -> None:
    assert wait_s(error, tries) == wait


def test_patience_ends_with_time_or_an_answer() -> None:
    patience = Patience()
    assert patience.allows(0)
    patience.refused(10, 5)
    patience.refused(11, 1)
    assert [patience.allows(at) for at in (10, 14.9, 15)] == [False, False, True]
    patience.refused(20, 5)
    patience.answered()
    assert patience.allows(20)


# Room


class Fleet:
    have, may = 0, 16

    def __call__(self, model: str) -> tuple[int, int]:
        return self.have, self.may


def started(room: Room, batch: str, number: int, running: int = 1, *, model: str = "m") -> int:
    """How many of so many lines found room."""
    for count in range(number):
        if not room.free(batch, model, running):
            return count
        call = a_call(model)
        call.dispatched = 1.0
        room.enter(batch, call)
    return number


def test_lines_take_their_share_and_leave_the_rest() -> None:
    fleet = Fleet()
    assert started(Room(100, 0.75, fleet), "a", 99) == 12


def test_people_take_the_place_of_lines() -> None:
    fleet = Fleet()
    room = Room(100, 0.75, fleet)
    fleet.have = 5
    assert started(room, "a", 5) == 5 and room.in_flight == 5
    fleet.have = 5 + 9  # nine of them are people's
    assert not room.free("a", "m", 1)
    fleet.have = 5 + 6
    assert room.free("a", "m", 1)


def test_one_line_may_always_go() -> None:
    fleet = Fleet()
    fleet.have, fleet.may = 50, 0
    room = Room(1, 0.75, fleet)
    assert [started(room, batch, 9, 2) for batch in ("a", "b")] == [1, 1]


def test_batches_share_the_room_and_are_bounded_together() -> None:
    fleet = Fleet()
    room = Room(100, 0.75, fleet)
    assert started(room, "a", 99, 2) == 6 == started(room, "b", 99, 2)
    small = Room(4, 1.0, fleet)
    assert started(small, "a", 99) == 4


def test_a_line_that_left_makes_room() -> None:
    room = Room(1, 1.0, Fleet())
    call = a_call()
    room.enter("a", call)
    assert not room.free("a", "m", 1)
    room.leave(call)
    room.leave(call)
    assert room.free("a", "m", 1) and room.in_flight == 0


def test_a_fleet_counts_what_is_usable() -> None:
    assert standing_of([(3, 8, True), (1, 4, True), (9, 9, False)]) == (4, 12)
    assert standing_of([]) == (0, 0)


# States


def test_the_way_of_a_batch() -> None:
    record = validated(RECORD, 3, "m", 110)
    assert (record.status, record.counts.total, record.model) == ("in_progress", 3, "m")
    record = finalizing(record, "completed", (), 120)
    assert record.status == "finalizing"
    assert finalizing(record, "expired", (), 125) == record, "it was decided"
    record = ended(record, "file-2", None, 130)
    assert record.status == "completed" and not record.open
    assert record.times == {"in_progress": 110, "finalizing": 120, "completed": 130}
    assert (record.output_file_id, record.error_file_id) == ("file-2", None)


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing"])
def test_cancelled_from_anywhere(status: Any) -> None:
    record = cancelling(replace(RECORD, status=status), 200)
    assert record.status == "cancelling" and cancelling(record, 300) == record
    assert validated(record, 3, "m", 210) == record == refused(record, (LineError("c", "m"),), 210)
    record = finalizing(record, "completed", (), 220)
    record = ended(record, "file-2", "file-3", 230)
    assert record.status == "cancelled"
    assert record.times == {"cancelling": 200, "cancelled": 230}
    with pytest.raises(NotAllowed, match="that is cancelled"):
        cancelling(record, 240)


def test_refused_and_failed() -> None:
    errors = (LineError("c", "m", None, 3),)
    record = refused(RECORD, errors, 110)
    assert (record.status, record.errors, record.times) == ("failed", errors, {"failed": 110})
    record = finalizing(validated(RECORD, 1, None, 110), "failed", errors, 120)
    assert ended(record, None, None, 130).status == "failed" and record.errors == errors
