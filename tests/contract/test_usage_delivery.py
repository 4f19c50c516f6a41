"""The usage log in front of the real ledger: what a killed worker left is in the table once."""

from __future__ import annotations

from pathlib import Path

from server.stores.sql.store import SqlStore
from server.usage.delivery import Pace
from server.usage.usage_log import UsageLog
from tests.usage.doubles import call
from tests.usage.test_leftover import Worker

FAST = Pace(interval=0.001, longest_wait=0.002, search=0.001)


async def test_each_call_once(store: SqlStore, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    worker = Worker(spool)
    worker.work(3000)
    worker.kill()
    lost: list[int] = []
    log = UsageLog(spool, store, lost.append, FAST)
    await log.start()
    own = [call(10**6 + number) for number in range(1200)]
    for one in own:
        log.began(one)
        log.finished(one)
    while log.depth or any(path != log._spool._folder.path for path in spool.iterdir()):
        await store.usage(since=0, until=1, bucket_s=1)  # something else to do, for as long as the database needs
    await log.stop()
    [total] = await store.usage(since=0, until=2**31, bucket_s=2**31)
    calls = len(worker.opened) + len(own)
    assert calls <= total.requests <= calls + 1  # at most one more was under way
    assert total.prompt - 100 * len(own) == total.requests - len(own)
    assert total.completion - 20 * len(own) >= 2 * len(worker.closed)
    assert lost == []
    assert not any(spool.iterdir())
