"""From the end of a call to the ledger, with a ledger that is not always well."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server.call import Tokens
from server.telemetry.metrics import Metrics
from server.usage.delivery import Pace
from server.usage.folder import SpoolError, make
from server.usage.spool import Spool
from server.usage.usage_log import UsageLog
from tests.contract.test_decisions import a_decision
from tests.usage.doubles import LedgerDouble, call, ids, record

FAST = Pace(interval=0.001, longest_wait=0.002, send_timeout=5, search=0.001, flush=5)


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


@asynccontextmanager
async def usage_log(
    spool: Path, ledger: LedgerDouble, lost: list[int] | None = None, pace: Pace = FAST
) -> AsyncGenerator[UsageLog]:
    log = UsageLog(spool, ledger, (lost if lost is not None else []).append, pace)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


async def test_a_call_becomes_a_record(tmp_path: Path) -> None:
    ledger = LedgerDouble()
    async with usage_log(tmp_path, ledger) as log:
        one, never_dispatched = call(1), call(2, dispatched=None, tokens=None, outcome="limited", status=429)
        log.began(one)
        log.finished(one)
        log.finished(never_dispatched)
        assert log.depth == 2
        await ledger.until(lambda: len(ledger.records) == 2)
    first, second = ledger.records.values()
    assert (first.call_id, first.outcome, first.prompt, first.completion) == (one.id, "ok", 100, 20)
    assert (second.outcome, second.status, second.prompt, second.cost) == ("limited", 429, 0, 0)
    assert log.depth == 0
    assert is_empty(tmp_path)


async def test_ten_thousand_in_order(tmp_path: Path) -> None:
    ledger = LedgerDouble()
    async with usage_log(tmp_path, ledger) as log:
        for number in range(10_000):
            one = call(number)
            log.began(one)
            log.finished(one)
    assert list(ledger.records) == ids(range(10_000))
    assert ledger.offered == 10_000
    assert ledger.asked <= 25


async def test_down_for_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = LedgerDouble()
    ledger.down = True
    async with usage_log(tmp_path, ledger) as log:
        for number in range(3000):
            log.finished(call(number))
        await ledger.until(lambda: ledger.asked >= 5)
        assert (log.depth, ledger.records) == (3000, {})
        ledger.down = False
        await ledger.until(lambda: len(ledger.records) == 3000)
    assert list(ledger.records) == ids(range(3000))
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "usage is kept in the spool, the database takes none",
        "the database is back",
    ]


async def test_an_answer_that_is_lost_doubles_nothing(tmp_path: Path) -> None:
    ledger = LedgerDouble()
    ledger.fails_after_commit = 3
    async with usage_log(tmp_path, ledger) as log:
        for number in range(100):
            log.finished(call(number))
        await ledger.until(lambda: ledger.fails_after_commit == 0)
    assert list(ledger.records) == ids(range(100))
    assert log.depth == 0


async def test_a_ledger_that_hangs_is_given_up_and_stopping_does_not_wait_for_it(tmp_path: Path) -> None:
    ledger = LedgerDouble()
    ledger.hangs = True
    impatient = Pace(interval=0.001, longest_wait=0.002, send_timeout=0.01, search=60, flush=0.01)
    async with usage_log(tmp_path, ledger, pace=impatient) as log:
        log.finished(call(1))
        await ledger.until(lambda: ledger.asked >= 2)
    assert log.depth == 1
    ledger.hangs = False
    async with usage_log(tmp_path, ledger):  # the next start
        await ledger.until(lambda: bool(ledger.records))
    assert list(ledger.records) == ids([1])
    assert is_empty(tmp_path)


async def test_stopped_while_the_ledger_is_down(tmp_path: Path) -> None:
    ledger = LedgerDouble()
    ledger.down = True
    async with usage_log(tmp_path, ledger) as log:
        for number in range(700):
            log.finished(call(number))
    assert log.depth == 700
    ledger.down = False
    async with usage_log(tmp_path, ledger) as log:
        await ledger.until(lambda: len(ledger.records) == 700)
    assert list(ledger.records) == ids(range(700))
    assert is_empty(tmp_path)


async def test_calls_that_a_killed_worker_left_open_are_settled_at_the_next_start(tmp_path: Path) -> None:
    folder = make(tmp_path)
    killed = UsageLog(tmp_path, LedgerDouble(), [].append)
    killed._spool = Spool(folder, [].append, lambda: None)
    killed.began(call(1, counted=50))
    killed.began(call(2, counted=60))
    killed.finished(call(2))
    folder.release()
    ledger = LedgerDouble()
    async with usage_log(tmp_path, ledger):
        await ledger.until(lambda: len(ledger.records) == 2)
    done, lost = ledger.records.values()
    assert (done.call_id, done.outcome) == (call(2).id, "ok")
    assert (lost.call_id, lost.outcome, lost.prompt, lost.cost) == (call(1).id, "lost", 50, 100)


async def test_what_was_decided_about_a_call_outlives_its_worker(tmp_path: Path) -> None:
    """Of the request by the time it goes to an engine, of the answer at the end."""
    folder = make(tmp_path)
    killed = UsageLog(tmp_path, LedgerDouble(), [].append)
    killed._spool = Spool(folder, [].append, lambda: None)
    of_request, of_answer = (a_decision(1, part) for part in range(2))
    cut, whole = call(1, decisions=(of_request,)), call(2, decisions=(of_request,))
    killed.began(cut)
    killed.began(whole)
    whole.decisions += (of_answer,)
    killed.finished(whole)
    folder.release()
    ledger = LedgerDouble()
    async with usage_log(tmp_path, ledger):
        await ledger.until(lambda: len(ledger.records) == 2)
    done, lost = ledger.records.values()
    assert (done.outcome, done.decisions) == ("ok", (of_request, of_answer))
    assert (lost.outcome, lost.decisions) == ("lost", (of_request,))


async def test_one_record_that_the_database_refuses_holds_up_none(tmp_path: Path) -> None:
    ledger, lost = LedgerDouble(), list[int]()
    bad = {record(number).call_id for number in (137, 300)}
    ledger.refuses = lambda one: one.call_id in bad
    async with usage_log(tmp_path, ledger, lost) as log:
        for number in range(400):
            log.finished(call(number))
        await ledger.until(lambda: len(ledger.records) == 398)
    assert set(ledger.records) == set(ids(range(400))) - bad
    assert (sum(lost), log.depth) == (2, 0)


async def test_a_database_that_refuses_everything_is_waited_for(tmp_path: Path) -> None:
    ledger, lost = LedgerDouble(), list[int]()
    ledger.refuses = lambda _: True
    async with usage_log(tmp_path, ledger, lost) as log:
        for number in range(100):
            log.finished(call(number))
        await ledger.until(lambda: ledger.asked > 30)
        assert (log.depth, lost) == (100, [])
        ledger.refuses = lambda _: False
        await ledger.until(lambda: len(ledger.records) == 100)
    assert set(ledger.records) == set(ids(range(100)))


async def test_two_workers_share_a_spool(tmp_path: Path) -> None:
    ledger = LedgerDouble()
    async with usage_log(tmp_path, ledger) as one, usage_log(tmp_path, ledger) as two:
        for number in range(200):
            (one if number % 2 else two).finished(call(number))
        await ledger.until(lambda: len(ledger.records) == 200)
    assert ledger.offered == 200
    assert is_empty(tmp_path)


async def test_a_bug_in_the_record_of_a_call_ends_nothing(tmp_path: Path) -> None:
    ledger, lost = LedgerDouble(), list[int]()
    async with usage_log(tmp_path, ledger, lost) as log:
        log.finished(call(1, tokens=Tokens(2**80)))  # no engine has so many
        log.finished(call(2))
    assert list(ledger.records) == ids([2])
    assert lost == [1]


async def test_a_spool_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = UsageLog(tmp_path / "file", LedgerDouble(), [].append)
    with pytest.raises(SpoolError, match="cannot be used"):
        await log.start()
    assert log.depth == 0
    await log.stop()


async def test_metrics(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    ledger = LedgerDouble()
    ledger.down = True
    log = UsageLog(tmp_path, ledger, metrics.usage.lost, FAST)
    metrics.usage.depth = lambda: log.depth
    await log.start()
    for number in range(3):
        log.finished(call(number))
    metrics.usage.lost(2)
    metrics.flush()
    await log.stop()
    assert registry.get_sample_value("portico_usage_spool_records") == 3
    assert registry.get_sample_value("portico_usage_lost_records_total") == 2


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 15), (5000, 15)])
def test_pace(failures: int, seconds: float) -> None:
    assert Pace().wait(failures) == seconds
