"""What becomes of usage when the process that had it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.stores.records import UsageRecord
from server.usage.folder import hold, make
from server.usage.leftover import Leftover, leftovers
from server.usage.spool import Spool
from tests.usage.doubles import LedgerDouble, ids, record

WORKER = """
import sys
from pathlib import Path
from server.usage.folder import make
from server.usage.spool import Spool
from tests.usage.doubles import record

first = int(sys.argv[2])
spool = Spool(make(Path(sys.argv[1])), print, lambda: None, segment_bytes=16384)
for number in range(first, first + 10**9):
    spool.open(record(number, "lost", prompt=1))
    print("open", number, flush=True)
    if number - first >= 8 and number % 10:  # one in ten goes on for ever
        done = number - 8
        spool.close(record(done, prompt=1, completion=2))
        print("closed", done, flush=True)
"""


class Worker:
    """A process that writes usage as fast as it can, and tells what it has done."""

    def __init__(self, spool: Path, first: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(spool), str(first)], stdout=subprocess.PIPE, text=True
        )
        self.opened: list[int] = []
        self.closed: list[int] = []

    def work(self, lines: int) -> None:
        assert self.process.stdout is not None
        for _ in range(lines):
            self._note(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._note(line)
        self.process.wait()
        self.process.stdout.close()

    def _note(self, line: str) -> None:
        if line.endswith("\n"):
            kind, number = line.split()
            (self.opened if kind == "open" else self.closed).append(int(number))


def delivered(leftover: Leftover, limit: int = 100) -> list[UsageRecord]:
    records: list[UsageRecord] = []
    while leftover.waiting:
        batch = leftover.batch(limit)
        leftover.delivered(batch)
        records += batch.records
    leftover.leave()
    return records


def check_all_is_there(worker: Worker, records: list[UsageRecord]) -> None:
    """All that was said to be written, each once; and at most the one thing more that was under way."""
    by_id = {one.call_id: one for one in records}
    assert len(by_id) == len(records)
    closed = [one.call_id for one in records if one.outcome == "ok"]
    assert set(ids(worker.closed)) <= set(closed)
    assert len(closed) <= len(worker.closed) + 1
    assert closed[: len(worker.closed)] == ids(worker.closed)  # in order
    assert {by_id[one].completion for one in closed} <= {2}, "none may be closed yet"
    lost = {one.call_id for one in records if one.outcome == "lost"}
    still_open = set(ids(worker.opened)) - set(closed)
    assert still_open <= lost
    assert len(lost) <= len(still_open) + 1
    assert {by_id[one].prompt for one in lost} == {1}


@pytest.mark.parametrize("lines", [1, 500, 4000])
def test_sigkill_in_the_middle_of_load(tmp_path: Path, lines: int) -> None:
    worker = Worker(tmp_path)
    worker.work(lines)
    assert leftovers(tmp_path) == ([], [])  # it lives
    worker.kill()
    [leftover], problems = leftovers(tmp_path)
    assert problems == []
    check_all_is_there(worker, delivered(leftover))
    assert list(tmp_path.iterdir()) == []


def test_two_workers_at_once_and_fewer_afterwards(tmp_path: Path) -> None:
    workers = [Worker(tmp_path), Worker(tmp_path, first=10**6)]
    for worker in workers * 3:
        worker.work(300)
    workers[0].kill()
    [first], _ = leftovers(tmp_path)
    workers[1].work(300)
    workers[1].kill()
    [second], _ = leftovers(tmp_path)  # the first is held
    for worker, leftover in zip(workers, (first, second), strict=True):
        check_all_is_there(worker, delivered(leftover))
    assert list(tmp_path.iterdir()) == []


async def test_killed_again_while_what_was_left_is_delivered(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.work(2000)
    worker.kill()
    ledger = LedgerDouble()
    rounds = 0
    while found := leftovers(tmp_path)[0]:
        [leftover] = found
        batch = leftover.batch(100)
        await ledger.add_usage(batch.records)
        if rounds % 2:  # else killed before the checkpoint
            leftover.delivered(batch)
        if rounds == 9:  # lives on
            await ledger.add_usage(delivered(leftover))
        else:
            leftover.leave()
        rounds += 1
    assert rounds == 10
    check_all_is_there(worker, list(ledger.records.values()))


def filled(root: Path) -> Path:
    """The folder of a worker that is gone, with three records."""
    folder = make(root)
    spool = Spool(folder, [].append, lambda: None, segment_bytes=4096)
    for number in range(3):
        spool.close(record(number))
    folder.release()
    return folder.path


def test_a_segment_that_is_cut_or_torn_gives_its_beginning(tmp_path: Path) -> None:
    [segment] = filled(tmp_path).glob("*.usage")
    size = len(segment.read_bytes().rstrip(b"\0"))
    os.truncate(segment, size - 1)
    [leftover], _ = leftovers(tmp_path)
    assert [one.call_id for one in delivered(leftover)] == ids(range(2))


def test_what_another_version_wrote_is_left_alone(tmp_path: Path) -> None:
    path = filled(tmp_path)
    [segment] = path.glob("*.usage")
    with segment.open("r+b") as file:
        file.write(b"PTC-USE\x02")
    found, problems = leftovers(tmp_path)
    assert found == []
    assert problems == [f"{segment} was not written by this version of Portico, and is left as it is."]
    assert leftovers(tmp_path) == ([], [])  # said once
    assert segment.exists()


def test_an_empty_folder_goes(tmp_path: Path) -> None:
    (tmp_path / "worker-0").mkdir()
    [leftover], _ = leftovers(tmp_path)
    assert leftover.waiting == 0
    leftover.leave()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_held_once(tmp_path: Path) -> None:
    folder = make(tmp_path)
    assert hold(folder.path) is None
    folder.release()
    again = hold(folder.path)
    assert again is not None
    again.remove()
    assert hold(folder.path) is None  # gone


def test_foreign_files_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    assert leftovers(tmp_path) == ([], [])
    assert (tmp_path / "notes.txt").read_text() == "keep"
